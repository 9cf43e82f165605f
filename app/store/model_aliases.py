"""Aliases of models in the database."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.aliases import ModelAlias, Translation
from app.store.engine import insert
from app.store.tables import model_aliases


async def list_aliases(connection: AsyncConnection) -> tuple[ModelAlias, ...]:
    """List aliases by creation."""
    select = sa.select(model_aliases).order_by(model_aliases.c.created_at_ms, model_aliases.c.name)
    return tuple(_alias(row) for row in (await connection.execute(select)).mappings())


async def find_alias(connection: AsyncConnection, name: str) -> ModelAlias | None:
    """Find an alias by its own name or pattern."""
    select = sa.select(model_aliases).where(model_aliases.c.name == name)
    row = (await connection.execute(select)).mappings().one_or_none()
    return None if row is None else _alias(row)


async def put_alias(connection: AsyncConnection, alias: ModelAlias) -> None:
    """Insert an alias, or replace the one of its name. The time of creation stays."""
    own = alias.own
    values: dict[str, Any] = {
        "model": alias.model,
        "sizes": dict(own.sizes),
        "qualities": dict(own.qualities),
        "dropped_fields": list(own.dropped_fields),
        "response_format": own.response_format,
        "updated_at_ms": alias.updated_at_ms,
    }
    statement = insert(connection, model_aliases).values(name=alias.name, created_at_ms=alias.created_at_ms, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


async def remove_alias(connection: AsyncConnection, name: str) -> None:
    await connection.execute(sa.delete(model_aliases).where(model_aliases.c.name == name))


def _alias(row: sa.RowMapping) -> ModelAlias:
    own = Translation(row["sizes"], row["qualities"], tuple(row["dropped_fields"]), row["response_format"])
    return ModelAlias(row["name"], row["model"], own, row["created_at_ms"], row["updated_at_ms"])
