"""imagegate users import: a team from a file, with a key for each."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from app.cli.command import ApiContext, command, read_file
from app.cli.output import Column, Record, say
from app.cli.users import app
from app.errors import ConfigurationError, Conflict, InvalidValue

__all__ = ["app"]

_LINE = (
    Column("line", "number"),
    Column("name"),
    Column("email"),
    Column("project"),
    Column("role"),
    Column("created", empty="nothing: it is there"),
)


@command(app, "import")
async def import_(
    ctx: ApiContext,
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV; - is stdin.")],
    keys: Annotated[
        str | None, typer.Option(metavar="K", help="A new file for the new keys; only you may read it.")
    ] = None,
    create_projects: Annotated[bool, typer.Option("--create-projects", help="Make projects that are missing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made, and make nothing.")] = False,
) -> None:
    """Make people, their projects, limits and keys from a table, all or none. Its first line is `name,mail,project,role,limits`;
    each further one is a person in a project. Limits are those of the person: spend/month=10.00 images/day=20 requests/minute=6
    concurrent=2. Whatever exists stays as it is, so the command can be repeated."""
    text = read_file(file)
    if not dry_run and keys is None:
        raise InvalidValue(
            "Say where the new keys go, for example --keys keys.csv; or look first with --dry-run.", param="keys"
        )
    if dry_run or (keys is not None and _is_there(keys)):
        found = await _import(ctx, text, create_projects, dry_run=True)
        if not dry_run and any(line["created"] for line in found["data"]):
            raise _exists(keys)
        _print(ctx, found)
        return
    assert keys is not None
    with _private_file(keys) as out:
        found = await _import(ctx, text, create_projects, dry_run=False)
        made = [line for line in found["data"] if "api_key" in line]
        if made:
            _write_keys(keys, out, made)
    _print(ctx, found)
    if made:
        say(f"imagegate: {len(made)} keys are in {keys} and nowhere else: hand them out, then delete the file.")


async def _import(ctx: ApiContext, text: str, create_projects: bool, *, dry_run: bool) -> Record:
    options = {"create_projects": create_projects, "dry_run": dry_run}
    return await ctx.client.send_text(text, "text/csv", "users.csv", **options)


@contextmanager
def _private_file(path: str) -> Iterator[TextIO]:
    """Make a file that only this account may read, and remove it again when nothing is written to it. Raises Conflict when it is
    there already, InvalidValue when it cannot be made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as exc:
        raise InvalidValue(f"{path} cannot be made: {exc.strerror}. Name another file.", param="keys") from None
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        try:
            yield file
        finally:
            if file.tell() == 0:
                Path(path).unlink()


def _is_there(path: str) -> bool:
    return os.path.lexists(path)


def _write_keys(path: str, file: TextIO, made: list[Record]) -> None:
    from app.core.spreadsheet import escape_formula

    rows = [
        (line["name"], line["email"] or "", line["project"], line["api_key"]["id"], line["api_key"]["value"])
        for line in made
    ]
    try:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "mail", "project", "key_id", "key"))
        writer.writerows([escape_formula(cell) for cell in row] for row in rows)
        file.flush()
        os.fsync(file.fileno())
    except OSError as exc:
        raise ConfigurationError(
            f"Everything is made, but the keys cannot be written to {path} ({exc.strerror}), and are stored nowhere else. "
            "`imagegate keys list` shows them; `imagegate keys rotate --leaked` gives each a new secret."
        ) from None


def _print(ctx: ApiContext, found: Record) -> None:
    for line in found["data"]:
        line.pop("api_key", None)
        for note in line["notes"]:
            say(f"imagegate: line {line['line']}, {line['name']}: {note}.")
    ctx.out.rows(_LINE, found)
    if not any(line["created"] for line in found["data"]):
        ctx.out.note("imagegate: all of it is there already; nothing is changed.")
    elif found["dry_run"]:
        ctx.out.note("imagegate: nothing is made yet; the same command without --dry-run does it.")


def _exists(path: str | None) -> Conflict:
    return Conflict(
        f"{path} is there already and is never overwritten; name another file for the new keys.", param="keys"
    )
