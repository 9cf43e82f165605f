"""imagegate db: the schema of the database."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.command import LocalContext, local_command
from app.cli.output import Column, say
from app.cli.targets import LocalTarget

if TYPE_CHECKING:
    from app.store.engine import Database, DatabaseUrl
    from app.store.schema import SchemaState

app = typer.Typer(help="The schema of the database.")
_STATE = (Column("current", none="none"), Column("newest"), Column("up_to_date"))
MIGRATION_TIMEOUT_S = 600.0


@local_command(app, "upgrade")
async def upgrade(ctx: LocalContext) -> None:
    """Bring the schema to this program's version; on SQLite, copy the database before, and make it where there is none."""
    from app.control.upgrade import upgrade_with_copy

    with only_process(ctx.target):
        async with _open(ctx.target.database_url) as database:
            state, copy = await upgrade_with_copy(database)
    if copy is not None:
        say(f"imagegate: the database as it was is in {copy}.")
    _print(ctx, state)


@local_command(app, "current")
async def current(ctx: LocalContext) -> None:
    """Show the version of the schema, and the newest one this program knows. Changes nothing."""
    from app.store.engine import DatabaseUrl
    from app.store.schema import schema_state

    # Opening the file would make it: an empty database in memory answers in its place.
    where = ctx.target.database_url if ctx.target.has_database else DatabaseUrl("sqlite", path=Path(":memory:"))
    async with _open(where) as database:
        _print(ctx, await schema_state(database))


@contextmanager
def only_process(target: LocalTarget) -> Iterator[None]:
    """Hold the lock of the directory, so that no server works on an SQLite file meanwhile; PostgreSQL has locks of its own.

    The directory and the book in it are its owner's alone afterwards. Raises ConfigurationError when another process holds it.
    """
    from app.control.pepper import make_private, make_private_folder
    from app.store.lock import locked

    is_sqlite = target.database_url.dialect == "sqlite"
    if is_sqlite:
        make_private_folder(target.data_dir)
    with locked(target.data_dir) if is_sqlite else contextlib.nullcontext():
        try:
            yield
        finally:
            if is_sqlite:
                make_private(target.data_dir)


@asynccontextmanager
async def _open(where: "DatabaseUrl") -> "AsyncIterator[Database]":
    from app.store.engine import open_database

    database = open_database(where, MIGRATION_TIMEOUT_S)
    try:
        yield database
    finally:
        await database.close()


def _print(ctx: LocalContext, state: "SchemaState") -> None:
    record = {"current": state.current, "newest": state.newest, "up_to_date": state.up_to_date}
    ctx.out.one(_STATE, record)
    if not state.up_to_date:
        ctx.out.note(f"Bring it up to date with: {ctx.target.command('db upgrade')}")
