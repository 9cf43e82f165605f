"""Python clients with their defaults, in an environment made from requirements-clients.lock.

`python -m tests.contract.wild.python_clients` reads OPENAI_API_KEY and OPENAI_BASE_URL, and nothing else is told to the clients. It
prints a JSON object a line: `client` and `said` (the picture as an address or in base64), or `failure` (a traceback). With lines of
`name`, `client`, `model` and `prompt` in JSON on its standard input it runs those that can be told a model instead.
"""

import asyncio
import base64
import importlib
import json
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Client = Callable[[str], Any]
CLIENTS: dict[str, Client] = {}


def client(name: str) -> Callable[[Client], Client]:
    def note(function: Client) -> Client:
        CLIENTS[name] = function
        return function

    return note


def load(path: str) -> Any:
    """Import `package.name`: none of them is there where this file is linted."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@client("openai-python")
def openai_python(prompt: str) -> Any:
    return load("openai.OpenAI")().images.generate(prompt=prompt).data[0].b64_json


@client("langchain-python")
def langchain(prompt: str) -> Any:
    return load("langchain_community.utilities.dalle_image_generator.DallEAPIWrapper")().run(prompt)


@client("llamaindex")
def llamaindex(prompt: str) -> Any:
    return load("llama_index.tools.openai.OpenAIImageGenerationToolSpec")().image_generation(prompt)


@client("agno-dalle")
def agno_dalle(prompt: str) -> Any:
    result = load("agno.tools.dalle.DalleTools")().create_image(prompt)
    return result.images[0].url if result.images else result.content


@client("agno-openai")
def agno_openai(prompt: str) -> Any:
    result = load("agno.tools.openai.OpenAITools")().generate_image(prompt)
    return base64.b64encode(result.images[0].content).decode() if result.images else result.content


@client("crewai")
def crewai(prompt: str) -> Any:
    return json.loads(load("crewai_tools.DallETool")().run(image_description=prompt))["image_url"]


@client("haystack")
def haystack(prompt: str) -> Any:
    return load("haystack.components.generators.OpenAIImageGenerator")().run(prompt)["images"][0]


@client("semantic-kernel")
def semantic_kernel(prompt: str) -> Any:
    service = load("semantic_kernel.connectors.ai.open_ai.OpenAITextToImage")(ai_model_id="gpt-image-1")
    return asyncio.run(service.generate_images(prompt))[0]


@client("litellm")
def litellm(prompt: str) -> Any:
    return load("litellm.image_generation")(prompt=prompt, model="gpt-image-1").data[0].b64_json


@client("llm-openai-images")
def llm_openai_images(prompt: str) -> Any:
    file = load("llm.get_model")("openai/gpt-image-1.5").prompt(prompt).text()
    return base64.b64encode(Path(file).read_bytes()).decode()


@client("img-cli")
def img_cli(prompt: str) -> Any:
    return _saved("generate", prompt, "--size", "1792x1024", "--output", "generated")


@client("img-cli-edit")
def img_cli_edit(prompt: str) -> Any:
    [picture] = Path("generated").iterdir()
    return _saved("edit", prompt, "--image", str(picture), "--output", "edited")


def _saved(*arguments: str) -> str:
    """Run img-cli with arguments of which the last is a folder, and return the picture that it leaves there."""
    subprocess.run([Path(sys.executable).with_name("img-cli"), *arguments], check=True, capture_output=True)
    [picture] = Path(arguments[-1]).iterdir()
    return base64.b64encode(picture.read_bytes()).decode()


@client("pydantic-ai")
def pydantic_ai(prompt: str) -> Any:
    image = load("pydantic_ai.BinaryImage")
    agent = load("pydantic_ai.Agent")("openai-responses:gpt-5.4", output_type=image)
    try:
        return base64.b64encode(agent.run_sync(prompt).output.data).decode()
    except load("pydantic_ai.exceptions.ModelHTTPError") as error:
        return f"{error.status_code} {error.body['message']}"


def langchain_with(model: str, prompt: str) -> Any:
    return load("langchain_community.utilities.dalle_image_generator.DallEAPIWrapper")(model=model).run(prompt)


def crewai_with(model: str, prompt: str) -> Any:
    tool = load("crewai_tools.DallETool")(model=model)
    return json.loads(tool.run(image_description=prompt))["image_url"]


def haystack_with(model: str, prompt: str) -> Any:
    return load("haystack.components.generators.OpenAIImageGenerator")(model=model).run(prompt)["images"][0]


TOLD_A_MODEL = {"langchain-python": langchain_with, "crewai": crewai_with, "haystack": haystack_with}


def main() -> None:
    orders = [json.loads(line) for line in sys.stdin]
    for order in orders:
        say(order["name"], partial(TOLD_A_MODEL[order["client"]], order["model"], order["prompt"]))
    for name, run in () if orders else CLIENTS.items():
        say(name, partial(run, f"A lighthouse, drawn for {name}"))


def say(name: str, run: Callable[[], Any]) -> None:
    told: dict[str, Any]
    try:
        told = {"said": run()}
    except Exception:
        told = {"failure": traceback.format_exc()}
    print(json.dumps({"client": name, **told}), flush=True)


if __name__ == "__main__":
    main()
