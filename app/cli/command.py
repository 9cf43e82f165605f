"""What every command has in common: the options for where and how, the note of where, errors and their exit codes."""

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from app.cli.context import Home, find_home
from app.cli.output import Format, Output, say
from app.errors import ConfigurationError, GatewayError

if TYPE_CHECKING:
    from app.store.engine import Database

P = ParamSpec("P")

FAILED, USAGE, NOT_FOUND, CONFLICT = 1, 2, 3, 4

Sandbox = Annotated[bool, typer.Option("--sandbox", help="Work in the sandbox: toy money, apart from the real book.")]
DataDir = Annotated[str | None, typer.Option("--data-dir", metavar="D", help="The directory, instead of DATA_DIR.")]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="How to print; csv: of usage only.")]


@dataclass(frozen=True, slots=True)
class Globals:
    """The options every command takes, before its name or after it; after it wins."""

    sandbox: bool = False
    data_dir: str | None = None
    format: Format | None = None

    def over(self, before: "Globals | None") -> "Globals":
        if before is None:
            return self
        return Globals(
            self.sandbox or before.sandbox,
            before.data_dir if self.data_dir is None else self.data_dir,
            self.format or before.format,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """What a command is given besides its own options."""

    home: Home
    out: Output

    def database(self) -> "AbstractAsyncContextManager[Database]":
        """The database, which is there and up to date; otherwise ConfigurationError."""
        from app.cli.database import opened

        return opened(self.home)


Body = Callable[Concatenate[Call, P], Coroutine[Any, Any, None] | None]


def command(app: typer.Typer, name: str, *, csv: bool = False) -> Callable[[Body[P]], Body[P]]:
    """Makes a function a command. It gets a Call first; async ones are run; what it raises is told and becomes an exit code."""

    def register(body: Body[P]) -> Body[P]:
        app.command(name)(_wrapped(body, csv))
        return body

    return register


def _wrapped(body: Body[P], csv: bool) -> Callable[..., None]:
    def run(
        context: typer.Context,
        sandbox: Sandbox = False,
        data_dir: DataDir = None,
        json_: Json = False,
        format_: FormatOption = None,
        **own: Any,
    ) -> None:
        given = Globals(sandbox, data_dir, Format.json if json_ else format_).over(context.obj)
        if given.format is Format.csv and not csv:
            raise typer.BadParameter("only `imagegate usage` writes csv; take table or json.", param_hint="--format")
        _run(body, given, own)

    # Typer reads options off the signature: the common ones and then those of the body, without its Call.
    common = [each for each in inspect.signature(run).parameters.values() if each.kind is not each.VAR_KEYWORD]
    own = list(inspect.signature(body).parameters.values())[1:]
    both = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *common)]
    run.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in both}
    run.__doc__ = body.__doc__
    return run


def _run(body: Callable[..., Any], given: Globals, own: dict[str, Any]) -> None:
    home: Home | None = None
    try:
        home = find_home(sandbox=given.sandbox, data_dir=given.data_dir)
        out = Output(given.format or Format.table, home.settings.zone, home.settings.currency)
        if not out.is_json:
            say(f"imagegate: using {home.where}")
        result = body(Call(home, out), **own)
        if inspect.iscoroutine(result):
            asyncio.run(result)
        if out.is_json:  # Only now: an error must leave one JSON document on stderr and nothing beside it.
            say(f"imagegate: using {home.where}")
    except (GatewayError, ConfigurationError) as exc:
        raise typer.Exit(report(exc, home, as_json=given.format is Format.json)) from exc


def report(exc: GatewayError | ConfigurationError, home: Home | None, *, as_json: bool) -> int:
    """Say what went wrong, in the API's shape where JSON is asked for. Returns the exit code."""
    message = with_flags(str(exc), home.flags if home else "")
    if as_json:
        body = replace_message(exc, message)
        say(json.dumps(body if home is None else {**body, "using": home.where}, ensure_ascii=False))
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
