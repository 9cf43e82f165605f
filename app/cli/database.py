"""The database a command works on: there, of the right version, and in the right currency."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.cli.context import Home
from app.control.fitness import check_schema
from app.control.installation import check_currency
from app.errors import ConfigurationError
from app.store.engine import Database, open_database
from app.store.migrations import schema_state


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Database]:
    """Raises ConfigurationError, naming the cure, instead of making or changing a database."""
    if not exists(home):
        raise ConfigurationError(
            f"There is no database in {home.data_dir} yet. `imagegate serve` makes one and starts the gateway; "
            "`imagegate db upgrade` only makes one."
        )
    database = open_database(home.database_url)
    try:
        check_schema(await schema_state(database))
        await check_currency(database, home.settings.currency)
        yield database
    finally:
        await database.close()


def exists(home: Home) -> bool:
    """Whether there can be a database at all: opening SQLite would make an empty one."""
    return home.database_url.path is None or home.database_url.path.exists()
