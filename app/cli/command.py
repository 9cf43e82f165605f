"""What every command has in common: the options for where and how, the note of where, errors and their exit codes."""

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from app.cli.context import Home, find_home
from app.cli.output import Format, Output, say
from app.cli.remote.address import Address, find_address, url_in_effect
from app.errors import BadRequest, ConfigurationError, GatewayError

if TYPE_CHECKING:
    from app.cli.administration import Administration
    from app.store.engine import Database

P = ParamSpec("P")

FAILED, USAGE, NOT_FOUND, CONFLICT = 1, 2, 3, 4

Sandbox = Annotated[bool, typer.Option("--sandbox", help="Work in the sandbox: toy money, apart from the real book.")]
DataDir = Annotated[str | None, typer.Option("--data-dir", metavar="D", help="The directory, instead of DATA_DIR.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="A gateway elsewhere, instead of IMAGEGATE_URL; see IMAGEGATE_ADMIN_KEY."
    ),
]
AdminKeyFile = Annotated[
    str | None,
    typer.Option("--admin-key-file", metavar="F", help="Holds the admin key, instead of IMAGEGATE_ADMIN_KEY."),
]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="How to print; csv: of usage only.")]


@dataclass(frozen=True, slots=True)
class Globals:
    """The options every command takes, before its name or after it; after it wins."""

    sandbox: bool = False
    data_dir: str | None = None
    url: str | None = None
    admin_key_file: str | None = None
    format: Format | None = None

    def over(self, before: "Globals | None") -> "Globals":
        if before is None:
            return self
        return Globals(*(_after(getattr(self, each.name), getattr(before, each.name)) for each in fields(self)))

    def place(self) -> Home | Address:
        """Raises BadRequest for two places at once, ConfigurationError for what is missing."""
        address = find_address(self.url, self.admin_key_file)
        if address is None:
            return find_home(sandbox=self.sandbox, data_dir=self.data_dir)
        if self.sandbox or self.data_dir is not None:
            message = "--url (or IMAGEGATE_URL) is a gateway elsewhere, --sandbox and --data-dir are here: which? --url '' is here."
            raise BadRequest(message, code="invalid_usage")
        return address


def _after(given: Any, before: Any) -> Any:
    return before if given in (None, False) else given


@dataclass(frozen=True, slots=True)
class Call:
    """What a command is given besides its own options."""

    place: Home | Address
    out: Output
    elsewhere: "Administration | None" = None

    def administration(self) -> "AbstractAsyncContextManager[Administration]":
        """Of the database here, which is there and up to date (otherwise ConfigurationError), or of the gateway elsewhere."""
        if self.elsewhere is not None:
            return nullcontext(self.elsewhere)
        from app.cli.local import local

        return local(self.home)

    def database(self) -> "AbstractAsyncContextManager[Database]":
        """The database, which is there and up to date; otherwise ConfigurationError. For commands that are `here_only`."""
        from app.cli.database import opened

        return opened(self.home)

    @property
    def home(self) -> Home:
        """For commands that are `here_only`."""
        assert isinstance(self.place, Home)
        return self.place


Body = Callable[Concatenate[Call, P], Coroutine[Any, Any, None] | None]


def command(app: typer.Typer, name: str, *, csv: bool = False, here_only: bool = False) -> Callable[[Body[P]], Body[P]]:
    """Makes a function a command. It gets a Call first; async ones are run; what it raises is told and becomes an exit code.

    `here_only`: it needs the database or the machine itself. Every other one must be async.
    """

    def register(body: Body[P]) -> Body[P]:
        app.command(name)(_wrapped(body, csv, here_only))
        return body

    return register


def _wrapped(body: Body[P], csv: bool, here_only: bool) -> Callable[..., None]:
    def run(
        context: typer.Context,
        sandbox: Sandbox = False,
        data_dir: DataDir = None,
        url: Url = None,
        admin_key_file: AdminKeyFile = None,
        json_: Json = False,
        format_: FormatOption = None,
        **own: Any,
    ) -> None:
        own_globals = Globals(sandbox, data_dir, url, admin_key_file, Format.json if json_ else format_)
        given = own_globals.over(context.obj)
        if given.format is Format.csv and not csv:
            raise typer.BadParameter("only `imagegate usage` writes csv; take table or json.", param_hint="--format")
        _run(body, given, own, context.command_path if here_only else None)

    # Typer reads options off the signature: the common ones and then those of the body, without its Call.
    common = [each for each in inspect.signature(run).parameters.values() if each.kind is not each.VAR_KEYWORD]
    own = list(inspect.signature(body).parameters.values())[1:]
    both = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *common)]
    run.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in both}
    run.__doc__ = body.__doc__
    return run


def _run(body: Callable[..., Any], given: Globals, own: dict[str, Any], here_only: str | None) -> None:
    place: Home | Address | None = None
    try:
        if here_only is not None and url_in_effect(given.url):
            raise _not_elsewhere(here_only)
        place = given.place()
        is_json = given.format is Format.json
        if not is_json:
            _say_where(place)
        _work(body, place, given.format or Format.table, own)
        if is_json:  # Only now: an error must leave one JSON document on stderr and nothing beside it.
            _say_where(place)
    except (GatewayError, ConfigurationError) as exc:
        raise typer.Exit(report(exc, place, as_json=given.format is Format.json)) from exc


def _work(body: Callable[..., Any], place: Home | Address, format: Format, own: dict[str, Any]) -> None:
    if isinstance(place, Address):
        asyncio.run(_elsewhere(body, place, format, own))
        return
    result = body(Call(place, Output(format, place.settings.zone, place.settings.currency)), **own)
    if inspect.iscoroutine(result):
        asyncio.run(result)


async def _elsewhere(body: Callable[..., Any], address: Address, format: Format, own: dict[str, Any]) -> None:
    from app.cli.remote.administration import Remote
    from app.cli.remote.client import connected

    async with connected(address) as (client, installation):
        out = Output(format, installation.zone, installation.currency)
        await body(Call(address, out, Remote(client, installation)), **own)


def _not_elsewhere(command_path: str) -> BadRequest:
    message = f"{command_path} works on the machine of the gateway only: run it there, without --url and IMAGEGATE_URL."
    return BadRequest(message, code="invalid_usage")


def _say_where(place: Home | Address) -> None:
    say(f"imagegate: using {place.where}")
    if isinstance(place, Address) and place.warning is not None:
        say(f"imagegate: warning: {place.warning}")


def report(exc: GatewayError | ConfigurationError, place: Home | Address | None, *, as_json: bool) -> int:
    """Say what went wrong, in the API's shape where JSON is asked for. Returns the exit code."""
    message = with_flags(str(exc), place.flags if place else "")
    if as_json:
        body = replace_message(exc, message)
        say(json.dumps(body if place is None else {**body, "using": place.where}, ensure_ascii=False))
    else:
        say(f"imagegate: {message}")
    return exit_code(exc)


def replace_message(exc: GatewayError | ConfigurationError, message: str) -> dict[str, Any]:
    """OpenAI's error object."""
    if isinstance(exc, GatewayError):
        body = exc.body()
        body["error"]["message"] = message
        return body
    return error_body(message, "server_error", "configuration_error")


def error_body(message: str, type: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def exit_code(exc: GatewayError | ConfigurationError) -> int:
    """3 not found, 4 conflict, 2 for a value that cannot be, otherwise 1."""
    if isinstance(exc, ConfigurationError):
        return FAILED
    return {400: USAGE, 404: NOT_FOUND, 409: CONFLICT}.get(exc.status, FAILED)


def with_flags(message: str, flags: str) -> str:
    """Commands in a message stand in backticks: let them lead to the same home."""
    return re.sub(r"`(imagegate [^`]*)`", lambda found: f"`{found[1]}{flags}`", message)
