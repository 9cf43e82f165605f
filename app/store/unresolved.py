"""Sums of the requests that hold money: those that are not settled or released yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from app.core.request import DEFAULT_RELAY
from app.store.engine import Database
from app.store.ledger.columns import State
from app.store.tables import is_unresolved, requests


@dataclass(frozen=True, slots=True)
class UnresolvedSums:
    """Requests in one state at one relay: how many, what they hold in micros, and when the oldest was reserved (Unix ms)."""

    relay: str
    state: State
    requests: int
    held_micros: int
    oldest_at_ms: int


async def sum_unresolved(database: Database) -> Sequence[UnresolvedSums]:
    """Sum the requests that hold money by relay and state. One that was not sent yet counts for the default relay.

    Raises StoreUnavailable.
    """
    relay = sa.func.coalesce(requests.c.relay, DEFAULT_RELAY)
    held = sa.cast(sa.func.sum(requests.c.quote_micros), sa.BigInteger)
    select = (
        sa.select(relay, requests.c.state, sa.func.count(), held, sa.func.min(requests.c.reserved_at_ms))
        .where(is_unresolved)
        .group_by(relay, requests.c.state)
    )
    async with database.read() as connection:
        return [UnresolvedSums(*row) for row in await connection.execute(select)]
