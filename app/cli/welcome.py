"""Welcome text of `imagegate serve`: addresses, what a picture costs, and at the first start the key and a command to try it."""

import json
import shlex
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from app.cli.language import translate
from app.cli.targets import LocalTarget
from app.control.installation import FirstKey
from app.core.catalog import Catalog
from app.core.money import decimal_text
from app.core.request import ImageRequest
from app.errors import ModelNotPriced

_MODEL = "gpt-image-1"
_PROMPT = "A lighthouse at dusk, watercolour"

# The reader of what `curl -i` prints. It decodes before it opens the file, so that a refusal leaves none.
_SAVE = """\
import base64, email, json, sys
file = {file}
head, _, body = sys.stdin.buffer.read().partition(b"\\r\\n\\r\\n")
try:
    answer = json.loads(body)
except ValueError:
    sys.exit(body.decode(errors="replace") or 1)
if "error" in answer:
    sys.exit(answer["error"]["message"])
picture = base64.b64decode(answer["data"][0]["b64_json"])
open(file, "wb").write(picture)
header = email.message_from_bytes(head.partition(b"\\r\\n")[2])
cost, currency, left = (header["x-imagegate-" + name] for name in ("cost", "currency", "spend-remaining"))
print(f"{done}")"""
_SOCKET_HOST = "localhost"
_DONE = "{file}: {cost} {currency} spent, {left} left"


def welcome(target: LocalTarget, where: Path | tuple[str, int], first: FirstKey | None, catalog: Catalog) -> str:
    """Make the text for stdout. `where` is host and port, or the path of a Unix socket. The text holds a secret only when `first`
    is given, at the first start."""
    through = []
    if isinstance(where, Path):
        url = (target.settings.public_url or f"http://{_SOCKET_HOST}").rstrip("/").removesuffix("/v1")
        if target.settings.public_url is None:
            through = ["--unix-socket", str(where)]
        lines = [f"imagegate is ready at {where}", f"For programs and people, through a proxy: {url}"]
    else:
        url = address_of(*where)
        lines = [f"imagegate is ready at {url}", *_addresses(url, *where)]
    lines.append(_money(target, catalog))
    if first is not None:
        lines += [
            "",
            *_first_steps(target, url, first),
            _curl([*through, f"{url}/v1/images/generations"], first.key),
            "",
            *_models(target, catalog),
            "",
        ]
    else:
        lines += ["", "A key for somebody:", f"  {_command(target, 'keys create --user NAME')}"]
    lines += ["Usage so far:", f"  {_command(target, 'usage --by model,user')}"]
    lines += ["Something wrong?", f"  {_command(target, 'doctor')}", "Ctrl-C stops the gateway.", ""]
    return "\n".join(map(translate, lines))


def _addresses(url: str, host: str, port: int) -> list[str]:
    return [
        f"For the OpenAI SDKs: base_url={url}/v1",
        f"The whole API, to read and try: {url}/docs",
        f"The console, for people: {url}/console/",
        f"Port {port} on {host}, which {_reach(host)}. Other ones: --port and --host, or IMAGEGATE_PORT and IMAGEGATE_HOST.",
    ]


def _reach(host: str) -> str:
    if ip_address(host).is_loopback:
        return "only this machine reaches"
    return "is every address of this machine" if ip_address(host).is_unspecified else "other machines may reach"


def _money(target: LocalTarget, catalog: Catalog) -> str:
    if target.sandbox:
        return "SANDBOX: pictures are drawn here and paid with toy money; nothing reaches a real relay."
    relay = urlsplit(target.settings.upstream_base_url).hostname
    price = _price(target, catalog)
    return f"REAL MONEY: the next picture is bought from {relay} and paid from your account there; {price}."


def _price(target: LocalTarget, catalog: Catalog) -> str:
    """Tell the most that the example's picture can cost, as it would be held."""
    example = ImageRequest("generation", _MODEL, 1, None, None, False, 0, len(_PROMPT), {})
    model = catalog.find(_MODEL)
    try:
        quote_micros = None if model is None else model.quote_micros(example, round(time.time() * 1000))
    except ModelNotPriced:
        quote_micros = None
    if quote_micros is None:
        return f"what each costs: {_command(target, 'prices list')}"
    return f"one of {_MODEL} costs at most {decimal_text(quote_micros)} {target.settings.currency}"


def _first_steps(target: LocalTarget, url: str, first: FirstKey) -> list[str]:
    spend = decimal_text(first.spend_micros_per_month)
    return [
        f"A first user, {first.user}, with {spend} {target.settings.currency} a month and {first.requests_per_minute} requests a "
        "minute. The key is shown only now:",
        f"  {first.key}",
        "",
        "Sign in to the console as the owner. This link sets the password; it works once, within 72 hours:",
        f"  {first.invitation.url(target.settings.public_url or url)}",
        "",
        "A first picture: paste this into a second terminal. It says where the picture is and what it cost, or why there is none:",
    ]


def _models(target: LocalTarget, catalog: Catalog) -> list[str]:
    now_ms = round(time.time() * 1000)
    priced = ", ".join(model.id for model in catalog.models.values() if model.is_priced_at(now_ms))
    aliases = [f"{alias.name} = {alias.model}" for alias in catalog.aliases]
    command = _command(target, "models alias 'gpt-image-*' gpt-image-1")
    return [
        f"Models: {'; '.join([priced, *aliases])}",
        "A client asks for another one? Let that name stand for one of them:",
        f"  {command}",
    ]


def _curl(to: list[str], key: str) -> str:
    """Make the command. `to` are curl's arguments that lead to the gateway.

    No proxy of the environment comes between: it may not reach this machine, and the key is in the head.
    """
    save = _SAVE.format(file=json.dumps(str(Path.cwd() / "picture.png"), ensure_ascii=False), done=translate(_DONE))
    return "\n".join(
        [
            f"curl -sS -i --noproxy '*' {shlex.join(to)} \\",
            f'  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\',
            f"  -d {shlex.quote(json.dumps({'model': _MODEL, 'prompt': translate(_PROMPT)}, ensure_ascii=False))} \\",
            f"  | {shlex.quote(sys.executable)} -c {shlex.quote(save)}",
        ]
    )


def address_of(host: str, port: int) -> str:
    """Return the address for a client on this machine."""
    return f"http://{_reachable(host)}:{port}"


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
