"""Corrections of the book: append-only rows beside `requests`, each with its actor and reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import hour_start_ms, local_day
from app.store.engine import Database, insert
from app.store.ledger.columns import State
from app.store.tables import corrections, counters, limits, requests, usage

Kind = Literal["short", "late", "settle", "release", "write_off", "restored"]
ENDED: tuple[State, ...] = ("settled", "released")


@dataclass(frozen=True, slots=True)
class Correction:
    """Amounts added to a request: money, images, and `requests` 1 where a released request was charged after all.

    With three zeros it only records a decision or finding. Of corrections with the same `cause`, one is posted.
    """

    request_id: str
    kind: Kind
    reason: str
    actor: str
    at_ms: int
    cost_micros: int = 0
    images: int = 0
    requests: int = 0
    cause: str | None = None

    @property
    def books(self) -> bool:
        """True when it moves an amount."""
        return any((self.cost_micros, self.images, self.requests))


@dataclass(frozen=True, slots=True)
class CorrectionRecord:
    """Correction as stored, for people."""

    kind: str
    cost_micros: int
    images: int
    requests: int
    reason: str
    actor: str
    created_at_ms: int


def late(request_id: str, cost_micros: int, images: int, at_ms: int, reason: str, actor: str = "gateway") -> Correction:
    """Make the correction of a request that was released and charged after all. Its cause lets it be posted once only."""
    return Correction(request_id, "late", reason, actor, at_ms, cost_micros, images, 1, f"late:{request_id}")


async def post(database: Database, correction: Correction, zone: ZoneInfo, states: Sequence[State] = ENDED) -> bool:
    """Append a correction and book it on the request's counters and roll-up, in one transaction.

    False, with nothing done, when the request is in none of `states` or the cause has a correction already. Raises
    StoreUnavailable or StorageFull; a correction with a cause may then be posted again.
    """
    async with database.transaction() as connection:
        return await post_with(connection, correction, zone, states)


async def post_with(
    connection: AsyncConnection, correction: Correction, zone: ZoneInfo, states: Sequence[State] = ENDED
) -> bool:
    """Post a correction as `post` does, in the caller's transaction."""
    request = await _locked(connection, correction.request_id)
    if request is None or request["state"] not in states or await _has_correction(connection, correction.cause):
        return False
    if correction.books:
        await _spend(connection, request["counter_ids"], correction)
        await _roll_up(connection, request, correction, zone)
    await connection.execute(sa.insert(corrections).values(_row(correction)))
    return True


async def corrections_of(connection: AsyncConnection, request_id: str) -> list[CorrectionRecord]:
    """List the corrections of a request, oldest first."""
    columns = [corrections.c[name] for name in CorrectionRecord.__slots__]
    select = sa.select(*columns).where(corrections.c.request_id == request_id).order_by(corrections.c.id)
    return [CorrectionRecord(**row) for row in (await connection.execute(select)).mappings()]


async def _locked(connection: AsyncConnection, request_id: str) -> sa.RowMapping | None:
    """Lock the request. Its counters follow, then the roll-up: the order of every statement of the ledger that ends a request."""
    select = sa.select(requests).where(requests.c.id == request_id).with_for_update()
    return (await connection.execute(select)).mappings().one_or_none()


async def _has_correction(connection: AsyncConnection, cause: str | None) -> bool:
    if cause is None:
        return False
    found = await connection.execute(sa.select(corrections.c.id).where(corrections.c.cause == cause))
    return found.first() is not None


async def _spend(connection: AsyncConnection, counter_ids: Sequence[int], correction: Correction) -> None:
    held_on = (
        sa.select(counters.c.id, limits.c.unit)
        .join(limits, limits.c.id == counters.c.limit_id)
        .where(counters.c.id.in_(counter_ids))
        .order_by(limits.c.scope == "organization", counters.c.id)
        .with_for_update(of=counters)
    )
    adds = {"micros": correction.cost_micros, "images": correction.images, "requests": correction.requests}
    for counter_id, unit in (await connection.execute(held_on)).all():
        if amount := adds.get(unit, 0):
            spend = sa.update(counters).where(counters.c.id == counter_id).values(spent=counters.c.spent + amount)
            await connection.execute(spend)


async def _roll_up(connection: AsyncConnection, request: sa.RowMapping, correction: Correction, zone: ZoneInfo) -> None:
    added = {name: getattr(correction, name) for name in ("requests", "images", "cost_micros")}
    statement = insert(connection, usage).values(**_key(request, zone), **added, input_tokens=0, output_tokens=0)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(usage.primary_key.columns),
            set_={name: usage.c[name] + statement.excluded[name] for name in added},
        )
    )


def _key(request: sa.RowMapping, zone: ZoneInfo) -> dict[str, Any]:
    """Return the key of the request's row in the roll-up."""
    same = {name: request[name] for name in ("project_id", "user_id", "api_key_id", "model", "operation")}
    at_ms = request["reserved_at_ms"]
    return same | {
        "hour_at_ms": hour_start_ms(at_ms),
        "day": local_day(at_ms, zone),
        "size": request["size"] or "",
        "quality": request["quality"] or "",
    }


def _row(correction: Correction) -> dict[str, Any]:
    row = {name: getattr(correction, name) for name in Correction.__slots__ if name != "at_ms"}
    return row | {"created_at_ms": correction.at_ms}
