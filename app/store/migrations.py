"""The schema's history: where this database stands, and bringing it up to date."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.errors import ConfigurationError
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
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    script = ScriptDirectory.from_config(_config())
    newest = script.get_current_head() or ""
    known = current is None or any(step.revision == current for step in script.walk_revisions())
    return SchemaState(current, newest, known)


async def upgrade(database: Database) -> SchemaState:
    """Bring the schema to the newest version, in one transaction: killed halfway, nothing has happened."""
    async with database.rebuild() as connection:
        await connection.run_sync(_upgrade)
    return await schema_state(database)


def _upgrade(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7241947)"))  # Two upgrades at once: one waits.
    command.upgrade(_config(connection=connection), "head")
    if connection.dialect.name == "sqlite" and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise ConfigurationError(
            f"The database refers to rows that are not there, so it stays as it was: {broken[:5]}."
        )


def _config(**attributes: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.attributes.update(attributes)
    return config


def _folder() -> Path:
    """Inside the installed package, or beside it in a checkout."""
    app = Path(__file__).parents[1]
    inside = app / "migrations"
    return inside if inside.is_dir() else app.parent / "migrations"
