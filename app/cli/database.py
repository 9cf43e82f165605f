"""The database a command works on: there, of the right version, and in the right currency."""

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.cli.context import Home
from app.control.installation import check_binding
from app.control.schema_gate import check_schema
from app.core.actors import Actor
from app.errors import ConfigurationError
from app.store.engine import Database, open_database
from app.store.schema import schema_state

REPORT_S = 600.0
"""An audit of a long book takes its time, and so does a migration; nobody waits behind them."""


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Database]:
    """Raises ConfigurationError, naming the cure, instead of making or changing a database."""
    if not exists(home):
        raise ConfigurationError(
            f"There is no database in {home.data_dir} yet. `imagegate serve` makes one and starts the gateway; "
            "`imagegate db upgrade` only makes one."
        )
    database = open_database(home.database_url, REPORT_S).by(_actor())
    try:
        check_schema(await schema_state(database))
        await check_binding(database, home.settings.currency, home.settings.timezone)
        yield database
    finally:
        await database.close()


def _actor() -> Actor:
    """The account this runs under: whoever may run the command line may do everything."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # A container may run under a number nobody has a name for.
        name = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return Actor("cli", f"cli:{name}", name)


def exists(home: Home) -> bool:
    """Whether there can be a database at all: opening SQLite would make an empty one."""
    return home.database_url.path is None or home.database_url.path.exists()
