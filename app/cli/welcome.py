"""Welcome text of `imagegate serve`: the address and, at the first start, the key and two commands for a first image."""

import json
import shlex
import sys
import time
from pathlib import Path

from app.cli.targets import LocalTarget
from app.control.installation import FirstKey
from app.core.catalog import Catalog
from app.core.money import decimal_text

_PROMPT = "A lighthouse at dusk, watercolour"

_PYTHON = """\
import base64, json, urllib.request
request = urllib.request.Request(
    "{url}/v1/images/generations",
    json.dumps({{"model": "gpt-image-1", "prompt": "{prompt}"}}).encode(),
    {{"Authorization": "Bearer {key}", "Content-Type": "application/json"}},
)
with urllib.request.urlopen(request) as answer:
    open("{file}", "wb").write(base64.b64decode(json.load(answer)["data"][0]["b64_json"]))
    print("{file}:", answer.headers["x-imagegate-cost"], answer.headers["x-imagegate-currency"],
          "spent,", answer.headers["x-imagegate-spend-remaining"], "left")"""


def welcome(target: LocalTarget, host: str, port: int, first: FirstKey | None, catalog: Catalog | None) -> str:
    """Make the text for stdout. It holds a secret only when `first` is given. `catalog` is that of the first start."""
    url = f"http://{_reachable(host)}:{port}"
    lines = [f"imagegate is ready at {url}"]
    if target.sandbox:
        lines += ["SANDBOX: pictures are drawn here and paid with toy money; nothing reaches a real relay."]
    lines += [f"For the OpenAI SDKs: base_url={url}/v1"]
    if first is not None:
        lines += ["", *_first_steps(target, url, first)]
    if catalog is not None:
        lines += ["", *_models(target, catalog)]
    return "\n".join(
        [
            *lines,
            "",
            "Usage so far:",
            f"  {_command(target, 'usage --by model,user')}",
            "Something wrong?",
            f"  {_command(target, 'doctor')}",
            "Ctrl-C stops the gateway.",
            "",
        ]
    )


def _first_steps(target: LocalTarget, url: str, first: FirstKey) -> list[str]:
    spend = decimal_text(first.spend_micros_per_month)
    return [
        f"A first user, {first.user}, with {spend} {target.settings.currency} a month and {first.requests_per_minute} requests a "
        "minute. The key is shown only now:",
        f"  {first.key}",
        "",
        "A first picture, with curl:",
        _curl(url, first.key),
        "",
        "The same in Python:",
        f"{shlex.quote(sys.executable)} - <<'END'",
        _PYTHON.format(url=url, prompt=_PROMPT, key=first.key, file=_file("picture-2.png")),
        "END",
    ]


def _models(target: LocalTarget, catalog: Catalog) -> list[str]:
    now_ms = round(time.time() * 1000)
    priced = ", ".join(model.id for model in catalog.models.values() if model.is_priced_at(now_ms))
    aliases = [f"{alias.name} is {alias.model}" for alias in catalog.aliases]
    command = _command(target, "models alias 'gpt-image-*' gpt-image-1")
    return [
        "Models: " + "; ".join([priced, *aliases]),
        "A client asks for another one? Let that name stand for one of them:",
        f"  {command}",
    ]


def _curl(url: str, key: str) -> str:
    body = json.dumps({"model": "gpt-image-1", "prompt": _PROMPT})
    save = (
        "import base64, json, sys; "
        f'open("{_file("picture.png")}", "wb").write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))'
    )
    return "\n".join(
        [
            f"curl -sS {url}/v1/images/generations \\",
            f'  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\',
            f"  -d {shlex.quote(body)} \\",
            f"  | {shlex.quote(sys.executable)} -c {shlex.quote(save)}",
        ]
    )


def _file(name: str) -> str:
    return str(Path.cwd() / name)


def _reachable(host: str) -> str:
    """Return the address for a client on this machine."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _command(target: LocalTarget, words: str) -> str:
    """Make a command that works in any directory, on the same target."""
    program = Path(sys.argv[0]).absolute() if Path(sys.argv[0]).name == "imagegate" else "imagegate"
    data_dir = target.data_dir.parent if target.sandbox else target.data_dir
    sandbox = " --sandbox" if target.sandbox else ""
    return f"{shlex.quote(str(program))} {words}{sandbox} --data-dir {shlex.quote(str(data_dir))}"
