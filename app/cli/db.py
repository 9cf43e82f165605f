"""imagegate db: the schema of the database."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.command import Call, command
from app.cli.context import Home
from app.cli.output import Column, say

if TYPE_CHECKING:
    from app.store.engine import Database, DatabaseUrl
    from app.store.schema import SchemaState

app = typer.Typer(help="The schema of the database.")
_STATE = (Column("current", none="none"), Column("newest"), Column("up_to_date"))


@command(app, "upgrade", here_only=True)
async def upgrade(call: Call) -> None:
    """Bring the schema to this program's version; on SQLite, make the database where there is none."""
    from app.control.schema_gate import check_schema
    from app.store import migrations
    from app.store.schema import schema_state

    with _alone(call.home):
        async with _open(call.home.database_url) as database:
            if not (before := await schema_state(database)).known:
                check_schema(before)  # Written by a newer program: there is no way back.
            state = await migrations.upgrade(database)
    _print(call, state)


@command(app, "current", here_only=True)
async def current(call: Call) -> None:
    """Show the version of the schema, and the newest one this program knows. Changes nothing."""
    from app.cli.database import exists
    from app.store.engine import DatabaseUrl
    from app.store.schema import schema_state

    # Opening the file would make it: an empty database in memory answers in its place.
    where = call.home.database_url if exists(call.home) else DatabaseUrl("sqlite", path=Path(":memory:"))
    async with _open(where) as database:
        _print(call, await schema_state(database))


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """On SQLite no server may run meanwhile. PostgreSQL has a lock of its own for upgrades."""
    if home.database_url.dialect != "sqlite":
        yield
        return
    from app.control.pepper import make_private_folder
    from app.store.lock import locked

    make_private_folder(home.data_dir)
    with locked(home.data_dir):
        yield


@asynccontextmanager
async def _open(where: "DatabaseUrl") -> "AsyncIterator[Database]":
    from app.cli.database import REPORT_S
    from app.store.engine import open_database

    database = open_database(where, REPORT_S)
    try:
        yield database
    finally:
        await database.close()


def _print(call: Call, state: "SchemaState") -> None:
    record = {"current": state.current, "newest": state.newest, "up_to_date": state.up_to_date}
    call.out.one(_STATE, record)
    if not state.up_to_date and not call.out.is_json:
        say(f"Bring it up to date with: {call.home.command('db upgrade')}")
