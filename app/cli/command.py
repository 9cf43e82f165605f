"""Frame of every command: common options, the line that names the target, errors and exit codes."""

import asyncio
import inspect
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from app.cli.language import translate
from app.cli.output import Format, Output, say, say_json
from app.cli.targets import LocalTarget, RemoteTarget, Target, local_target, remote_target, url_in_effect
from app.errors import BadRequest, ConfigurationError, GatewayError, InvalidValue

if TYPE_CHECKING:
    from app.cli.client import Client

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
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Without a terminal nobody is asked.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="How to print; csv: of usage and requests list.")]
Csv = Annotated[bool, typer.Option("--csv", help="The same as --format csv.")]


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """Options of every command, given before its name or after it. An option after the name takes precedence."""

    sandbox: bool = False
    data_dir: str | None = None
    url: str | None = None
    admin_key_file: str | None = None
    format: Format | None = None

    def merge(self, before: "CommonOptions | None") -> "CommonOptions":
        if before is None:
            return self
        pairs = ((getattr(self, each.name), getattr(before, each.name)) for each in fields(self))
        return CommonOptions(*(earlier if given in (None, False) else given for given, earlier in pairs))

    def target(self) -> Target:
        """Make the target of the command. Raises BadRequest for two targets at once, ConfigurationError for a missing setting."""
        remote = remote_target(self.url, self.admin_key_file)
        if remote is None:
            return local_target(sandbox=self.sandbox, data_dir=self.data_dir)
        if self.sandbox or self.data_dir is not None:
            message = "--url (or IMAGEGATE_URL) is a gateway elsewhere, --sandbox and --data-dir are here: which? --url '' is here."
            raise BadRequest(message, code="invalid_usage")
        return remote


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Context of a command: its target, a client of the API there, and its output."""

    target: Target
    out: Output
    client: "Client"


@dataclass(frozen=True, slots=True)
class LocalContext:
    """Context of a command that works on this machine only."""

    target: LocalTarget
    out: Output


ApiCommand = Callable[Concatenate[ApiContext, P], Coroutine[Any, Any, None]]
LocalCommand = Callable[Concatenate[LocalContext, P], Coroutine[Any, Any, None] | None]


def command(
    app: typer.Typer, name: str, *, csv: bool = False, local: LocalCommand[...] | None = None
) -> Callable[[ApiCommand[P]], ApiCommand[P]]:
    """Register a coroutine function as a command that calls the administration API, here or on another machine. Errors are printed
    and become the exit code. When the target is this machine, `local` runs instead, if given."""

    def register(body: ApiCommand[P]) -> ApiCommand[P]:
        def work(target: Target, format: Format, options: dict[str, Any]) -> None:
            if local is not None and isinstance(target, LocalTarget):
                _run_here(local, target, format, options)
            else:
                asyncio.run(_ask_api(body, target, format, options))

        app.command(name)(_with_common_options(body, work, csv=csv))
        return body

    return register


def local_command(app: typer.Typer, name: str) -> Callable[[LocalCommand[P]], LocalCommand[P]]:
    """Register a function or coroutine function as a command that works on this machine only."""

    def register(body: LocalCommand[P]) -> LocalCommand[P]:
        def work(target: Target, format: Format, options: dict[str, Any]) -> None:
            assert isinstance(target, LocalTarget)
            _run_here(body, target, format, options)

        app.command(name)(_with_common_options(body, work, local_only=True))
        return body

    return register


def _run_here(body: Callable[..., Any], target: LocalTarget, format: Format, options: dict[str, Any]) -> None:
    out = Output(format, target.settings.zone, target.settings.currency)
    result = body(LocalContext(target, out), **options)
    if inspect.iscoroutine(result):
        asyncio.run(result)


async def _ask_api(body: Callable[..., Any], target: Target, format: Format, options: dict[str, Any]) -> None:
    from app.cli.client import connected

    async with connected(target) as (client, installation):
        ctx = ApiContext(target, Output(format, installation.zone, installation.currency), client)
        if isinstance(target, LocalTarget):
            await body(ctx, **options)
            return
        with client.reading():
            await body(ctx, **options)


Work = Callable[[Target, Format, dict[str, Any]], None]


def _with_common_options(
    body: Callable[..., Any], work: Work, *, csv: bool = False, local_only: bool = False
) -> Callable[..., None]:
    def run(
        context: typer.Context,
        sandbox: Sandbox = False,
        data_dir: DataDir = None,
        url: Url = None,
        admin_key_file: AdminKeyFile = None,
        json_: Json = False,
        format_: FormatOption = None,
        csv_: Csv = False,
        **own: Any,
    ) -> None:
        form = Format.json if json_ else Format.csv if csv_ else format_
        own_options = CommonOptions(sandbox, data_dir, url, admin_key_file, form)
        given = own_options.merge(context.obj)
        if given.format is Format.csv and not csv:
            message = "only `imagegate usage` and `imagegate requests list` write csv; take table or json."
            raise typer.BadParameter(message, param_hint="--format")
        _run(work, given, own, context.command_path if local_only else None)

    # Typer reads options off the signature: those of the body, without its context, and then the common ones.
    common = [each for each in inspect.signature(run).parameters.values() if each.kind is not each.VAR_KEYWORD]
    common = [each for each in common if csv or each.name != "csv_"]
    own = list(inspect.signature(body).parameters.values())[1:]
    both = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *common)]
    run.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in both}
    run.__doc__ = body.__doc__
    return run


def _run(work: Work, given: CommonOptions, own: dict[str, Any], local_only: str | None) -> None:
    """Run a command and report its errors. `local_only` is its name when it does not work on another machine."""
    target: Target | None = None
    is_json = given.format is Format.json
    try:
        if local_only is not None and url_in_effect(given.url):
            message = (
                f"{local_only} works on the machine of the gateway only: run it there, without --url and IMAGEGATE_URL."
            )
            raise BadRequest(message, code="invalid_usage")
        target = given.target()
        if not is_json:
            _say_target(target)
        work(target, given.format or Format.table, own)
        if is_json:  # Only now: an error must leave one JSON document on stderr and nothing beside it.
            _say_target(target)
    except (GatewayError, ConfigurationError) as exc:
        raise typer.Exit(report(exc, target, as_json=is_json)) from exc


def _say_target(target: Target) -> None:
    say(f"imagegate: using {target.where}")
    if isinstance(target, RemoteTarget) and target.warning is not None:
        say(f"imagegate: warning: {target.warning}")


def report(exc: GatewayError | ConfigurationError, target: Target | None, *, as_json: bool) -> int:
    """Print an error, with `as_json` in the API's form. Returns the exit code."""
    flags = target.flags if target else ""
    if as_json:
        body = _error_object(exc, with_flags(str(exc), flags))
        say_json(body if target is None else {**body, "using": target.where})
    else:
        say(f"imagegate: {with_flags(translate(str(exc)), flags)}")
    return exit_code(exc)


def _error_object(exc: GatewayError | ConfigurationError, message: str) -> dict[str, Any]:
    if isinstance(exc, GatewayError):
        body = exc.body()
        body["error"]["message"] = message
        return body
    return error_body(message, "server_error", "configuration_error")


def error_body(message: str, type: str, code: str) -> dict[str, Any]:
    """Make OpenAI's error object."""
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def exit_code(exc: GatewayError | ConfigurationError) -> int:
    """Return the exit code: 2 for an invalid value, 3 for not found, 4 for a conflict, otherwise 1."""
    if isinstance(exc, ConfigurationError):
        return FAILED
    return {400: USAGE, 404: NOT_FOUND, 409: CONFLICT}.get(exc.status, FAILED)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal before a change that cannot be undone or that stops somebody's work; not with `yes`, and not in a script.
    Raises typer.Abort when the answer is no."""
    if yes or not sys.stdin.isatty():
        return
    asyncios = signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's only takes effect after the line.
    try:
        print(f"{translate(question)} [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = "\n"
    finally:
        signal.signal(signal.SIGINT, asyncios)
    if answer.strip().lower() not in ("y", "yes"):
        say("Nothing is changed.")
        raise typer.Abort


def read_file(file: str) -> str:
    """Read a text file, or stdin for `-`. Raises InvalidValue."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidValue(
            f"{file} is not UTF-8; save it as such (in a spreadsheet: CSV UTF-8).", param="file"
        ) from None
    except OSError as exc:
        raise InvalidValue(f"{file} cannot be read: {exc.strerror}.", param="file") from None


def moment_s(ctx: ApiContext, text: str, field: str) -> int:
    """Parse a time as `moment_ms` does, in the gateway's timezone. Returns Unix seconds. Raises InvalidValue."""
    from app.control.dates import moment_ms

    return moment_ms(text, field, ctx.out.zone) // 1000


def check_relay(target: Target, place: str) -> None:
    """Raise ConfigurationError for the sandbox on this machine, because only its own server can reach its relay."""
    if isinstance(target, LocalTarget) and target.sandbox:
        raise ConfigurationError(f"The sandbox relay lives inside `imagegate serve`, {place}.")


def with_flags(message: str, flags: str) -> str:
    """Add the flags of this target to the commands in a message, which stand in backticks."""

    def complete(found: re.Match[str]) -> str:
        command = found[1]
        return f"`{command}{flags.replace(' --sandbox', '') if ' --sandbox' in command else flags}`"

    return re.sub(r"`(imagegate [^`]*)`", complete, message)
