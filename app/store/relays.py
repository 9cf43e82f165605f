"""Relays in the database, by name."""

from dataclasses import fields
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.relays import Relay
from app.store.tables import is_unresolved, relays, requests

_COLUMNS: Final = tuple(each.name for each in fields(Relay))


async def list_relays(connection: AsyncConnection) -> dict[str, Relay]:
    """List every relay by creation, removed ones too: what went to them is still compared with their bills."""
    rows = (await connection.execute(sa.select(relays).order_by(relays.c.created_at_ms, relays.c.name))).mappings()
    return {row["name"]: _relay(row) for row in rows}


async def find_relay(connection: AsyncConnection, name: str) -> Relay | None:
    """Find a relay by its name, a removed one too."""
    row = (await connection.execute(sa.select(relays).where(relays.c.name == name))).mappings().one_or_none()
    return None if row is None else _relay(row)


async def insert_relay(connection: AsyncConnection, relay: Relay) -> None:
    await connection.execute(sa.insert(relays).values(_values(relay)))


async def update_relay(connection: AsyncConnection, relay: Relay) -> None:
    """Write every column of the relay of this name."""
    await connection.execute(sa.update(relays).where(relays.c.name == relay.name).values(_values(relay)))


async def any_unresolved(connection: AsyncConnection, name: str) -> bool:
    """Return whether a request that went to the relay has not been settled or released."""
    select = sa.select(requests.c.id).where(is_unresolved, requests.c.relay == name).limit(1)
    return (await connection.execute(select)).first() is not None


def _relay(row: sa.RowMapping) -> Relay:
    values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    return Relay(**{**values, "models": None if row["models"] is None else frozenset(row["models"])})


def _values(relay: Relay) -> dict[str, Any]:
    models = None if relay.models is None else sorted(relay.models)
    return {**{name: getattr(relay, name) for name in _COLUMNS}, "models": models}
