"""Version of a database's schema, read without loading Alembic."""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.store.engine import Database


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Versions of a schema. `current` is None on an empty database; `known` is False when this program lacks its migration."""

    current: str | None
    newest: str
    known: bool

    @property
    def up_to_date(self) -> bool:
        return self.current == self.newest


async def schema_state(database: Database) -> SchemaState:
    """Read the version of the schema. Raises StoreUnavailable."""
    async with database.read() as connection:
        current = await connection.run_sync(_current)
    versions = {file.name.partition("_")[0] for file in (migrations_folder() / "versions").glob("*_*.py")}
    return SchemaState(current, max(versions), current is None or current in versions)


def migrations_folder() -> Path:
    """Return the folder of migrations: in the installed package, or beside it in a checkout. File names sort by version."""
    app = Path(__file__).parents[1]
    inside = app / "migrations"
    return inside if inside.is_dir() else app.parent / "migrations"


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found
