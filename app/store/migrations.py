"""Upgrade of the schema, with Alembic."""

from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from app.errors import ConfigurationError
from app.store.engine import Database
from app.store.schema import SchemaState, migrations_folder, schema_state


async def upgrade(database: Database) -> SchemaState:
    """Upgrade the schema to the newest version in one transaction."""
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
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes.update(attributes)
    return config
