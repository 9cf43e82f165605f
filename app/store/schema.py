"""The version of a database's schema, without Alembic: callers that only ask need not load what changes it."""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.store.engine import Database


@dataclass(frozen=True, slots=True)
class SchemaState:
    """`current` is None on an empty database. `known` tells whether this program has a migration of that name."""

    current: str | None
    newest: str
    known: bool

    @property
    def up_to_date(self) -> bool:
        return self.current == self.newest


async def schema_state(database: Database) -> SchemaState:
    """Raises StoreUnavailable when the database cannot be asked."""
    async with database.read() as connection:
        current = await connection.run_sync(_current)
    versions = {file.name.partition("_")[0] for file in (migrations_folder() / "versions").glob("*_*.py")}
    return SchemaState(current, max(versions), current is None or current in versions)


def migrations_folder() -> Path:
    """The folder of migrations, inside the installed package or beside it in a checkout. File names sort in their order."""
    app = Path(__file__).parents[1]
    inside = app / "migrations"
    return inside if inside.is_dir() else app.parent / "migrations"


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found
