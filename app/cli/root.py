"""Root of the command line. Each module of a command or group has an `app`, which is registered here."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated

import typer
from typer._click.core import Command

from app import __version__
from app.cli import (
    admin_keys,
    alerts,
    audit,
    audit_log,
    backup,
    db,
    doctor,
    keys,
    limits,
    models,
    pictures,
    price_book,
    projects,
    reconcile,
    relays,
    requests,
    serve,
    service_accounts,
    sessions,
    statements,
    usage,
    users_import,
)
from app.cli.command import AdminKeyFile, CommonOptions, DataDir, FormatOption, Json, Sandbox, Url, error_body
from app.cli.help import translate_help
from app.cli.language import is_chinese, translate
from app.cli.output import Format, say, say_json

app = typer.Typer(
    name="imagegate",
    help="A gateway between a team and paid image models.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,  # They would print the values of variables, and a secret may be among them.
)
app.add_typer(serve.app)
app.add_typer(users_import.app, name="users")  # The group of app/cli/users.py, with the import.
app.add_typer(sessions.app, name="sessions")
app.add_typer(projects.app, name="projects")
app.add_typer(service_accounts.app, name="service-accounts")
app.add_typer(keys.app, name="keys")
app.add_typer(admin_keys.app, name="admin-keys")
app.add_typer(limits.app, name="limits")
app.add_typer(models.app, name="models")
app.add_typer(price_book.app, name="prices")  # The same group, with what works on the whole book.
app.add_typer(relays.app, name="relays")
app.add_typer(alerts.app, name="alerts")
app.add_typer(usage.app)
app.add_typer(statements.app, name="statements")
app.add_typer(requests.app, name="requests")
app.add_typer(pictures.app, name="pictures")
app.add_typer(reconcile.app)
app.add_typer(audit.app)
app.add_typer(audit_log.app)
app.add_typer(backup.app)
app.add_typer(db.app, name="db")
app.add_typer(doctor.app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"imagegate {__version__}")
        raise typer.Exit()


@app.callback()
def _imagegate(
    context: typer.Context,
    sandbox: Sandbox = False,
    data_dir: DataDir = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    json_: Json = False,
    format_: FormatOption = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    context.obj = CommonOptions(sandbox, data_dir, url, admin_key_file, Format.json if json_ else format_)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Never raises for a user's mistake."""
    try:
        code = _command(is_chinese())(list(arguments) or ["--help"], prog_name="imagegate", standalone_mode=False)
    except typer.TyperException as exc:
        return _usage_error(exc, arguments)
    except typer.Abort:
        return 1
    return code if isinstance(code, int) else 0


@cache
def _command(chinese: bool) -> Command:
    command = typer.main.get_command(app)
    if chinese:
        translate_help(command)
    return command


def _usage_error(exc: typer.TyperException, arguments: Sequence[str]) -> int:
    message = exc.format_message().replace("Value error, ", "")  # How pydantic, which typer asks, begins its own.
    if _wants_json(arguments):
        say_json(error_body(message, "invalid_request_error", "invalid_usage"))
    else:
        context = getattr(exc, "ctx", None)  # Of the command that was understood so far.
        say(f"imagegate: {translate(message)} See: {context.command_path if context else 'imagegate'} --help")
    return exc.exit_code


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the arguments ask for JSON, although they could not be parsed."""
    words = " ".join(arguments)
    return any(sign in f" {words} " for sign in (" --json ", " --format json ", " --format=json "))
