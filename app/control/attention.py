"""Findings for an owner: relays with a problem, unknown requests, requests for more, keys without a limit, and the like."""

from dataclasses import dataclass

from app.control.drift import DriftDay
from app.control.models import list_models
from app.control.reconciliations import Reconciliations
from app.control.relay_conditions import RelayCondition, RelayConditions
from app.core.intervals import DAY_MS
from app.store.deliveries import undelivered as count_undelivered
from app.store.engine import Database
from app.store.keys import KeyConditions, count_keys
from app.store.limit_increases import count_open
from app.store.unresolved import sum_unresolved

UNDELIVERED_MS = 7 * DAY_MS
"""Age beyond which an alert that was not delivered is no longer told."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Findings, each empty where all is well. `unknown_micros` are held for the unknown requests. `drift` are the closed days on
    which book and bill are more than a hundredth apart, newest first."""

    stopped: tuple[RelayCondition, ...]
    """Relays in use whose breaker is open in this process."""
    unknown: int
    unknown_micros: int
    increases: int
    """Requests of members for more of a limit that nobody has decided yet."""
    keys_without_limit: int
    unpriced: tuple[str, ...]
    drift: tuple[DriftDay, ...]
    undelivered: int

    @property
    def is_needed(self) -> bool:
        counts = (self.unknown, self.increases, self.keys_without_limit, self.undelivered)
        return any(counts) or bool(self.stopped or self.unpriced or self.drift)


async def attention(database: Database, reconciliations: Reconciliations, relays: RelayConditions) -> Attention:
    """Look for what an owner should look at. Raises StoreUnavailable."""
    now_ms = await database.now_ms()
    models = await list_models(database)
    unknown = [sums for sums in await sum_unresolved(database) if sums.state == "unknown"]
    async with database.read() as connection:
        increases = await count_open(connection)
        keys = await count_keys(connection, KeyConditions(status="active", without_limit=True, now_ms=now_ms))
        undelivered = await count_undelivered(connection, now_ms - UNDELIVERED_MS)
    days = await reconciliations.drift_by_day(now_ms)
    return Attention(
        stopped=tuple(each for each in await relays.read() if each.state == "open"),
        unknown=sum(sums.requests for sums in unknown),
        unknown_micros=sum(sums.held_micros for sums in unknown),
        increases=increases,
        keys_without_limit=keys,
        unpriced=tuple(row.model for row in models if not row.priced),
        drift=tuple(day for day in days if day.closed and day.is_over),
        undelivered=undelivered,
    )
