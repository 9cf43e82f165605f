"""Root of the command line: options before the command, usage errors, and which commands are loaded."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated

import typer
from typer._click.core import Command

from app import __version__
from app.cli import serve
from app.cli.command import AdminKeyFile, CommonOptions, DataDir, FormatOption, Json, Sandbox, Url, error_body
from app.cli.help import translate_help
from app.cli.language import is_chinese, translate
from app.cli.output import Format, say, say_json


def new_root() -> typer.Typer:
    """Make the root without commands: its help and the options of every command."""
    root = typer.Typer(
        name="imagegate",
        help="A gateway between a team and paid image models.",
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,  # They would print the values of variables, and a secret may be among them.
    )
    root.callback()(_imagegate)
    return root


def _version(wanted: bool) -> None:
    if wanted:
        print(f"imagegate {__version__}")
        raise typer.Exit()


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
        command = _command(is_chinese(), only_serve=list(arguments[:1]) == ["serve"])
        code = command(list(arguments) or ["--help"], prog_name="imagegate", standalone_mode=False)
    except typer.TyperException as exc:
        return _usage_error(exc, arguments)
    except typer.Abort:
        return 1
    return code if isinstance(code, int) else 0


@cache
def _command(chinese: bool, *, only_serve: bool) -> Command:
    """Make the tree of all commands, or of `serve` alone: a server keeps it as long as it runs, and all would be 5 MiB."""
    if only_serve:
        app = new_root()
        app.add_typer(serve.app)
    else:
        from app.cli.commands import app
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
