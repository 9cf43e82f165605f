"""Programs that send a request of the console by the API: what a person made here, to be made again by code."""

import json
import shlex
from dataclasses import dataclass

from app.console.create_form import OPTIONS, CreateForm
from app.core.request import Operation

KEY = "YOUR_KEY"
PICTURE = "picture.png"
SDK_TIMEOUT_S = 660
_OF_SDK = ("model", "prompt", "n", "size", "quality", *OPTIONS[:2])
"""Fields that the SDK has a parameter for."""


@dataclass(frozen=True, slots=True)
class RequestCode:
    """Command line and program that send the same request, with YOUR_KEY in place of a key."""

    curl: str
    python: str


def code_of(form: CreateForm, operation: Operation, base_url: str) -> RequestCode:
    """Write the programs for a form; `base_url` ends in /v1. An edit reads its picture from a file. Raises InvalidValue."""
    return RequestCode(_curl(form, operation, base_url), _python(form, operation, base_url))


def _curl(form: CreateForm, operation: Operation, base_url: str) -> str:
    key = f'-H "Authorization: Bearer {KEY}"'
    if operation == "edit":
        fields = [f"--form-string {shlex.quote(f'{name}={text}')}" for name, text in form.texts().items()]
        return _lines(f"curl -sS {base_url}/images/edits", key, f"-F image=@{PICTURE}", *fields)
    body = shlex.quote(json.dumps(form.values(), ensure_ascii=False, indent=2))
    head = f'{key} -H "Content-Type: application/json"'
    return _lines(f"curl -sS {base_url}/images/generations", head, f"-d {body}")


def _lines(*parts: str) -> str:
    return " \\\n  ".join(parts)


def _python(form: CreateForm, operation: Operation, base_url: str) -> str:
    values = form.values()
    arguments = {name: values.pop(name) for name in _OF_SDK if name in values}
    lines = [f"    {name}={json.dumps(value, ensure_ascii=False)}," for name, value in arguments.items()]
    if values:
        lines.append(f"    extra_body={json.dumps(values)},")
    method = "generate"
    if operation == "edit":
        method, lines = "edit", [f'    image=open("{PICTURE}", "rb"),', *lines]
    call = "\n".join([f"answer = client.images.{method}(", *lines, ")"])
    client = f'client = OpenAI(base_url="{base_url}", api_key="{KEY}", timeout={SDK_TIMEOUT_S})'
    return f"from openai import OpenAI\n\n{client}\n{call}"
