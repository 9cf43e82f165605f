"""Real clients with their defaults, which know nothing but key and base URL, on a new book with an alias for `gpt-image-*`.

Each first call is compared with the file in `recorded/` that test_first_calls.py sends. IMAGEGATE_RECORD=1 writes those files anew.
"""

import asyncio
import base64
import io
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

import dev
from app.sandbox import SandboxOptions, running_sandbox
from tests.contract.environments import node_with_clients, output_of, python_with_clients
from tests.contract.recorder import HOST, KEY, Recorder, keep, kept, recording
from tests.gateways import RELAY_KEY, gateway_process

WILD = Path(__file__).parent / "wild"
TIMEOUT_S = 600
# None of them shall wait for a service on the internet that is not the gateway.
ALONE = {
    "AGNO_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1",
    "OTEL_SDK_DISABLED": "true",
}
PYTHON = re.findall(r'^@client\("([\w-]+)"\)', (WILD / "python_clients.py").read_text(encoding="utf-8"), re.MULTILINE)
NODE = re.findall(r"^  '([\w-]+)': ", (WILD / "node_clients.mjs").read_text(encoding="utf-8"), re.MULTILINE)
GET_A_PICTURE = [name for name in PYTHON if name != "pydantic-ai"]
MODELS = ("flux-kontext-pro", "seedream-3.0")
READERS = {"langchain-python": "url", "crewai": "url", "haystack": "b64_json"}
"""Clients that read one form only and ask for none: an administrator gives them a name of the model that answers in it."""
RELAYS = {"url": "body=url", "base64": "body=empty_strings"}
"""Form in which the relay answers, and the hint that has it do so."""
ORDERS = [(client, model, relay) for client in READERS for model in MODELS for relay in RELAYS]
BODY = '{"model": "gpt-image-1", "prompt": "A lighthouse, drawn for curl-http2"}'
CURL = ("curl", "--silent", "--http2", "-H", "Content-Type: application/json", "--data", BODY)
Said = Mapping[str, str]
"""What each client got: a picture as an address or in base64, or the words of a refusal."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Outside:
    """A gateway seen from a program in `folder`, which may write there."""

    recorder: Recorder
    key: str
    folder: Path

    async def run(self, command: Sequence[str | Path], given: bytes = b"", cwd: Path | None = None) -> str:
        """Return what a program printed. Raises AssertionError with its errors when it failed."""
        url = f"{self.recorder.url}/v1"
        theirs = {"OPENAI_API_KEY": self.key, "OPENAI_BASE_URL": url, "HOME": str(self.folder)}
        env = {**os.environ, **ALONE, **theirs}
        out = await output_of(*command, timeout_s=TIMEOUT_S, given=given, folder=cwd or self.folder, env=env)
        return out.decode()


@pytest.fixture(scope="module")
async def outside(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay,
        gateway_process(folder / "gateway", relay.base_url, pictures_fetch_networks="127.0.0.0/8") as gateway,
        recording(gateway.url) as recorder,
    ):
        await gateway.cli("models", "alias", "gpt-image-*", "gpt-image-1")
        for model in MODELS:
            for form in ("url", "b64_json"):
                await gateway.cli("models", "alias", f"{model}-{form}", model, "--response-format", form)
        await gateway.cli("users", "create", "lin")
        key = await gateway.cli("keys", "create", "--user", "lin")
        yield Outside(recorder, key["key"], folder)


@pytest.fixture(scope="module")
async def python() -> Path:
    return await installed(python_with_clients)


@pytest.fixture(scope="module")
async def of_python(outside: Outside, python: Path) -> Said:
    """What all clients in Python got, in one process."""
    command = ("env", f"PYTHONPATH={dev.ROOT}", python, "-m", "tests.contract.wild.python_clients")
    return told(await outside.run(command))


@pytest.fixture(scope="module")
async def of_readers(outside: Outside, python: Path) -> Said:
    """What the clients that read one form only got from each model and relay, in one process."""
    orders = [
        {
            "name": f"{client} {model} {relay}",
            "client": client,
            "model": f"{model}-{READERS[client]}",
            "prompt": f"[[sandbox {RELAYS[relay]}]] A lighthouse for {client}",
        }
        for client, model, relay in ORDERS
    ]
    command = ("env", f"PYTHONPATH={dev.ROOT}", python, "-m", "tests.contract.wild.python_clients")
    return told(await outside.run(command, "\n".join(map(json.dumps, orders)).encode()))


@pytest.fixture(scope="module")
async def of_node(outside: Outside, python: Path) -> Said:
    folder = await installed(lambda: node_with_clients(python.parent))
    script = (WILD / "node_clients.mjs").read_bytes()
    return told(await outside.run((python.parent / "node", "--input-type=module"), script, folder))


@pytest.mark.parametrize("name", GET_A_PICTURE)
async def test_a_python_client_gets_a_picture(outside: Outside, of_python: Said, name: str) -> None:
    await assert_picture(of_python[name])
    assert_recorded(outside, name)


async def test_a_client_of_the_responses_api_is_told_what_is_served(outside: Outside, of_python: Said) -> None:
    assert of_python["pydantic-ai"].startswith("404 ")
    assert "POST /v1/images/generations" in of_python["pydantic-ai"]
    assert_recorded(outside, "pydantic-ai")


@pytest.mark.parametrize(("client", "model", "relay"), ORDERS)
async def test_a_client_gets_the_form_that_it_reads_whatever_the_relay_sends(
    of_readers: Said, client: str, model: str, relay: str
) -> None:
    said = of_readers[f"{client} {model} {relay}"]

    assert ("/v1/images/pictures/req_" in said) is (READERS[client] == "url"), said
    await assert_picture(said)


@pytest.mark.parametrize("name", NODE)
async def test_a_node_client_gets_a_picture(outside: Outside, of_node: Said, name: str) -> None:
    await assert_picture(of_node[name])
    assert_recorded(outside, name)


async def test_the_jdk_s_client_gets_a_picture(outside: Outside) -> None:
    if not shutil.which("java"):
        pytest.skip("no Java here: what its HttpClient sends is NOT tested")

    answer = json.loads(await outside.run(("java", WILD / "JdkClient.java")))

    await assert_picture(answer["data"][0]["b64_json"])
    assert_recorded(outside, "jdk-httpclient")


async def test_curl_that_offers_http2_gets_a_picture(outside: Outside) -> None:
    features = await outside.run(("curl", "--version")) if shutil.which("curl") else ""
    if "HTTP2" not in features.split():
        pytest.skip("no curl with HTTP/2 here: what it sends is NOT tested")
    address = f"{outside.recorder.url}/v1/images/generations"

    answer = json.loads(await outside.run((*CURL, "-H", f"Authorization: Bearer {outside.key}", address)))

    await assert_picture(answer["data"][0]["b64_json"])
    assert_recorded(outside, "curl-http2")


async def installed(make: Callable[[], Path]) -> Path:
    try:
        return await asyncio.to_thread(make)
    except SystemExit as failure:
        pytest.skip(f"the clients cannot be installed, so they are NOT tested: {failure}")


def told(lines: str) -> Said:
    """Read a JSON object a line, and skip what a framework prints between them."""
    found: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines() if line.startswith('{"client"')]
    return {each["client"]: str(each.get("said", each.get("failure"))) for each in found}


async def assert_picture(said: str) -> None:
    """Fetch what is an address, decode what is base64, and read all of the picture."""
    if said.startswith("http://"):
        async with httpx2.AsyncClient(timeout=60) as http:
            content = (await http.get(said)).raise_for_status().content
    else:
        assert re.fullmatch(r"[\w+/]+=*", said), said
        content = base64.b64decode(said)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format in ("PNG", "JPEG")
        picture.load()


def assert_recorded(outside: Outside, name: str) -> None:
    """Compare request line, names of headers and body with the file, which may differ in versions and traits of the machine.

    Forms are not kept: their boundary and picture are other ones each time.
    """
    host = outside.recorder.url.removeprefix("http://").encode()
    request = outside.recorder.first(f"drawn for {name}").replace(outside.key.encode(), KEY).replace(host, HOST)
    if b"Content-Type: multipart/form-data" in request:
        return
    if os.environ.get("IMAGEGATE_RECORD"):
        keep(name, request)
    assert shape(request) == shape(kept(name)), f"{name} sends something new: record it with IMAGEGATE_RECORD=1"


def shape(request: bytes) -> tuple[str, set[str], str]:
    head, _, body = request.decode().partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    return line, {header.partition(":")[0].lower() for header in headers}, body
