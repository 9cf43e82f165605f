"""imagegate backup and restore: copies of the database and its pictures, made while the gateway runs."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.command import LocalContext, Yes, confirm, local_command
from app.cli.db import only_process
from app.cli.language import translate
from app.cli.output import Column, say
from app.cli.prices import micros_of
from app.errors import ConfigurationError, InvalidValue

if TYPE_CHECKING:
    from app.control.manifest import Manifest
    from app.control.restore import Restored

app = typer.Typer()
_MADE = (
    Column("file"),
    Column("schema"),
    Column("requests", "number", value=lambda made: made["totals"]["requests"]),
    Column("booked", "money", value=lambda made: made["totals"]["booked_micros"] + made["totals"]["corrected_micros"]),
    Column("pictures", "number", value=lambda made: made["picture_files"]),
    Column("missing pictures", "number", value=lambda made: len(made["missing"])),
)
_RESTORED = (
    *_MADE[:5],
    Column("missing pictures", "number", value=lambda done: len(done["missing_pictures"])),
    Column("sessions ended", "number", value=lambda done: done["sessions"]),
    Column("revocations applied", "number", value=lambda done: done["revocations"]),
    Column("charges booked since", "number", value=lambda done: len(done["charges"])),
    Column("spent since", "money", value=lambda done: sum(charge["cost_micros"] for charge in done["charges"])),
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup; its manifest and pictures are beside it.")]


@local_command(app, "backup")
async def backup(ctx: LocalContext, file: File) -> None:
    """Copy the database and the pictures it names into a new file and its folder, while the gateway runs, and check the copy. The
    secret key is not in it: keep that apart."""
    from app.control.schema_gate import check_schema
    from app.operation import BACKUP_TIMEOUT_S, backup_from
    from app.store.engine import open_database
    from app.store.schema import schema_state

    target = ctx.target
    if not target.has_database:
        raise ConfigurationError(f"There is no database in {target.data_dir} yet.")
    database = open_database(target.database_url, BACKUP_TIMEOUT_S)
    try:
        check_schema(await schema_state(database))
        made = await backup_from(target.settings, target.data_dir, database).make(file.absolute(), _show)
    finally:
        await database.close()
    _end_line()
    ctx.out.one(_MADE, _record(made, file))
    if made.missing:
        ctx.out.note(
            "imagegate: missing pictures were gone before, or another replica has them in a directory of its own; "
            "`imagegate audit` names them."
        )


@local_command(app, "restore")
async def restore(
    ctx: LocalContext,
    file: File,
    spent: Annotated[
        list[str] | None,
        typer.Option(
            "--spent",
            metavar="[NAME=]AMOUNT",
            help="Spent since at the relay NAME, where its log cannot be read, or at all together; may be repeated.",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Put a backup in the place of the database, which is kept beside it, with its pictures. The gateway must not run. What was
    revoked or erased since is so again, and what the relays charged since is booked to the organization."""
    from app.administration import PICTURES, made_directory
    from app.cli.local import current_actor
    from app.connections import bills_from, relays_from
    from app.control.pepper import Peppers, existing_peppers, make_private_folder
    from app.operation import restore_from

    target, file = ctx.target, file.absolute()
    # The relay of the sandbox lives in `imagegate serve`, and took toy money.
    stated = 0 if target.sandbox and not spent else _stated(spent or [])
    with only_process(target):
        if target.database_url.path is not None and target.has_database:
            confirm(f"Replace the database of {target.data_dir}? It is kept beside the restored one.", yes=yes)
        make_private_folder(target.data_dir)
        made_directory(target.data_dir / PICTURES)
        peppers = existing_peppers(target.settings)
        relays = relays_from(target.settings, peppers or Peppers(b""))
        try:
            bills = bills_from(target.settings, relays, peppers or Peppers(b""))
            where = (target.data_dir, target.database_url, file)
            work = restore_from(target.settings, *where, peppers, bills, stated, current_actor())
            done = await work.run(_show)
        finally:
            await relays.close()
    _end_line()
    _print(ctx, done, file)


def _stated(values: Sequence[str]) -> int | dict[str, int]:
    """Return the amounts that were given, in micros: one for all relays together, or by relay. Raises InvalidValue."""
    if len(values) == 1 and "=" not in values[0]:
        return micros_of(values[0], "spent")
    amounts = {}
    for value in values:
        name, equals, amount = value.partition("=")
        if not equals or name in amounts:
            raise InvalidValue("--spent: give one AMOUNT for all relays, or NAME=AMOUNT once for each.", param="spent")
        amounts[name] = micros_of(amount, "spent")
    return amounts


def _record(made: "Manifest", file: Path) -> dict[str, Any]:
    return {"file": str(file)} | asdict(made)


def _print(ctx: LocalContext, done: "Restored", file: Path) -> None:
    record = asdict(done) | {"missing_pictures": done.missing, "replaced": done.replaced and str(done.replaced)}
    del record["manifest"], record["missing"]
    ctx.out.one(_RESTORED, _record(done.manifest, file) | record)
    if ctx.out.is_json:
        return
    if done.replaced is not None:
        say(f"imagegate: the database that was here is in {done.replaced}; remove it when all is well.")
    for each in done.not_applied:
        say(
            f"imagegate: {each.event} of {each.target_id} could not be applied again: nobody else is an owner. Do it by hand."
        )
    if done.missing:
        say("imagegate: missing pictures are not in the backup; `imagegate audit` names them.")
    say("imagegate: people sign in anew, and open invitations have ended. Start the gateway now.")


def _show(part: str, done: int, whole: int) -> None:
    """Show on a terminal how far it is."""
    if sys.stderr.isatty() and whole:
        print(f"\r{translate(part)} {min(done * 100 // whole, 100)} %  ", end="", file=sys.stderr, flush=True)


def _end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
