"""Queries for reconciliation: requests whose charge is in question, charges found for them, drift by day."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.request import DEFAULT_RELAY, Operation
from app.store.engine import Database, insert
from app.store.ledger.columns import State
from app.store.tables import charges, corrections, drift, is_unresolved, reconciliation, requests

REQUESTS_MAX = 500
"""Requests of one kind that a run takes on."""
_IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SentRow:
    """Request that was sent to a relay, in any state by now, with the columns its charge is matched by and its ending needs."""

    id: str
    relay: str
    state: State
    operation: Operation
    model: str
    n: int
    size: str | None
    quality: str | None
    stream: bool
    quote_micros: int
    cost_micros: int | None
    flag: str | None
    http_status: int | None
    error_code: str | None
    error: dict[str, Any] | None
    upstream_request_id: str | None
    reserved_at_ms: int
    dispatched_at_ms: int
    upstream_ms: int | None
    proof: str | None
    proof_points: int | None
    """Charge that an earlier run found, and its points."""


@dataclass(frozen=True, slots=True)
class MatchedCharge:
    """Row of a relay's log that is known to be the charge of a request."""

    relay: str
    proof: str
    request_id: str
    points: int
    charged_at_ms: int


@dataclass(frozen=True, slots=True)
class DriftRow:
    """Book and bill of one model at one relay on one local day, in micros and in the relay's points."""

    relay: str
    day: str
    model: str
    booked_micros: int
    billed_micros: int
    billed_points: int
    measured_at_ms: int


async def may_run(database: Database, pause_ms: int) -> bool:
    """Take the right to reconcile. True for one caller in `pause_ms`, by the database's clock."""
    now_ms = await database.now_ms()
    due = reconciliation.c.ran_at_ms <= now_ms - pause_ms
    async with database.transaction() as connection:
        return bool((await connection.execute(sa.update(reconciliation).where(due).values(ran_at_ms=now_ms))).rowcount)


async def unknown(connection: AsyncConnection, relay: str, since_ms: int, until_ms: int) -> list[SentRow]:
    """List requests of unknown outcome reserved from `since_ms` to before `until_ms`, oldest first."""
    then = requests.c.reserved_at_ms >= since_ms, requests.c.reserved_at_ms < until_ms
    open_ = is_unresolved, requests.c.state == "unknown"
    return await _dispatched(connection, _DISPATCHED.where(_went_to(relay), *open_, *then).limit(REQUESTS_MAX))


async def short(connection: AsyncConnection, relay: str, since_ms: int) -> list[SentRow]:
    """List requests reserved since then that settled short and whose charge was not found yet; newest first."""
    open_ = requests.c.flag == "short", requests.c.state == "settled", charges.c.proof.is_(None)
    select = _DISPATCHED.where(_went_to(relay), requests.c.reserved_at_ms >= since_ms, *open_)
    newest = select.order_by(None).order_by(requests.c.reserved_at_ms.desc()).limit(REQUESTS_MAX)
    return await _dispatched(connection, newest)


async def released_by_hand(connection: AsyncConnection, relay: str, since_ms: int) -> list[SentRow]:
    """List requests released by hand since then whose charge has not been found; oldest first."""
    decided = sa.select(corrections.c.request_id).where(
        corrections.c.kind == "release", corrections.c.created_at_ms >= since_ms
    )
    open_ = requests.c.id.in_(decided), requests.c.state == "released", charges.c.proof.is_(None)
    return await _dispatched(connection, _DISPATCHED.where(_went_to(relay), *open_).limit(REQUESTS_MAX))


async def released_and_found(connection: AsyncConnection, relay: str) -> list[SentRow]:
    """List requests that were released after a run had found their charge and was killed before it could book it; oldest first."""
    found = sa.select(charges.c.request_id).where(charges.c.relay == relay)
    is_booked = sa.exists().where(
        corrections.c.request_id == requests.c.id, corrections.c.kind.in_(("late", "restored"))
    )
    open_ = requests.c.id.in_(found), requests.c.state == "released", ~is_booked
    return await _dispatched(connection, _DISPATCHED.where(_went_to(relay), *open_).limit(REQUESTS_MAX))


async def released(
    connection: AsyncConnection, relay: str, upstream_request_ids: Sequence[str], since_ms: int
) -> list[SentRow]:
    """List released requests, reserved since then, whose relay's id is among these and whose charge has not been found."""
    open_ = requests.c.state == "released", requests.c.reserved_at_ms >= since_ms, charges.c.proof.is_(None)
    found = []
    for start in range(0, len(upstream_request_ids), _IDS_AT_ONCE):
        ids = upstream_request_ids[start : start + _IDS_AT_ONCE]
        found += await _dispatched(
            connection, _DISPATCHED.where(_went_to(relay), *open_, requests.c.upstream_request_id.in_(ids))
        )
    return found


async def find(connection: AsyncConnection, request_id: str) -> SentRow | None:
    """Return the request; None when there is none, or it was never dispatched."""
    found = await _dispatched(connection, _DISPATCHED.where(requests.c.id == request_id))
    return found[0] if found else None


async def around(
    connection: AsyncConnection, relay: str, from_ms: int, until_ms: int, reserved_before_ms: int
) -> list[SentRow]:
    """List requests dispatched between two instants that may have been charged. `reserved_before_ms` is the longest time between
    reservation and dispatch."""
    select = _DISPATCHED.where(
        _went_to(relay),
        requests.c.reserved_at_ms.between(from_ms - reserved_before_ms, until_ms),
        requests.c.dispatched_at_ms.between(from_ms, until_ms),
        sa.or_(requests.c.state != "released", _MAY_BE_CHARGED.is_not(None)),
    )
    return await _dispatched(connection, select)


async def claim(connection: AsyncConnection, charge: MatchedCharge, now_ms: int) -> bool:
    """Record that a charge belongs to a request. False when it belongs to another, or the request has another charge."""
    row = {name: getattr(charge, name) for name in MatchedCharge.__slots__} | {"matched_at_ms": now_ms}
    await connection.execute(insert(connection, charges).values(row).on_conflict_do_nothing())
    own = charges.c.relay == charge.relay, charges.c.proof == charge.proof, charges.c.request_id == charge.request_id
    return (await connection.execute(sa.select(charges.c.proof).where(*own))).first() is not None


async def booked(connection: AsyncConnection, relay: str, from_ms: int, until_ms: int, lasts_ms: int) -> dict[str, int]:
    """Sum by model the booked cost of requests that the relay finished between two instants, corrections included. `lasts_ms` is
    the longest duration of a request."""
    finished_at_ms = requests.c.dispatched_at_ms + sa.func.coalesce(requests.c.upstream_ms, 0)
    within = (
        _went_to(relay),
        requests.c.reserved_at_ms.between(from_ms - lasts_ms, until_ms),
        finished_at_ms >= from_ms,
        finished_at_ms < until_ms,
    )
    settled = sa.select(requests.c.model, requests.c.cost_micros).where(requests.c.state == "settled", *within)
    corrected = (
        sa.select(requests.c.model, corrections.c.cost_micros)
        .join(corrections, corrections.c.request_id == requests.c.id)
        .where(*within)
    )
    both = sa.union_all(settled, corrected).subquery()
    total = sa.cast(sa.func.sum(both.c.cost_micros), sa.BigInteger)
    rows = await connection.execute(sa.select(both.c.model, total).group_by(both.c.model))
    return {model: cost for model, cost in rows if cost}


async def save_drift(database: Database, rows: Sequence[DriftRow]) -> None:
    """Write drift rows, replacing earlier measurements."""
    async with database.transaction() as connection:
        for row in rows:
            values = {name: getattr(row, name) for name in DriftRow.__slots__}
            statement = insert(connection, drift).values(values)
            await connection.execute(
                statement.on_conflict_do_update(index_elements=list(drift.primary_key.columns), set_=values)
            )


async def drift_rows(connection: AsyncConnection, relay: str | None, days: int = 31) -> list[DriftRow]:
    """List the drift of the newest `days` measured days at a relay, or for None at all of them; newest first."""
    its = sa.true() if relay is None else drift.c.relay == relay
    newest = sa.select(drift.c.day).where(its).distinct().order_by(drift.c.day.desc()).limit(days)
    select = (
        sa.select(drift).where(its, drift.c.day.in_(newest)).order_by(drift.c.day.desc(), drift.c.relay, drift.c.model)
    )
    return [DriftRow(**row) for row in (await connection.execute(select)).mappings()]


_relay_name: sa.ColumnElement[str] = sa.func.coalesce(requests.c.relay, DEFAULT_RELAY)
"""Relay that a request went to. Rows from before the column existed went to the default one."""
_MAY_BE_CHARGED = (
    sa.select(sa.func.max(corrections.c.kind))
    .where(corrections.c.request_id == requests.c.id, corrections.c.kind.in_(("release", "restored")))
    .scalar_subquery()
)
_DISPATCHED = (
    sa.select(
        *(requests.c[name] for name in SentRow.__slots__ if name != "relay" and not name.startswith("proof")),
        _relay_name.label("relay"),
        charges.c.proof,
        charges.c.points.label("proof_points"),
    )
    .outerjoin(charges, charges.c.request_id == requests.c.id)
    .where(requests.c.dispatched_at_ms.is_not(None))
    .order_by(requests.c.reserved_at_ms, requests.c.id)
)


def _went_to(relay: str) -> sa.ColumnElement[bool]:
    return _relay_name == relay


async def _dispatched(connection: AsyncConnection, select: sa.Select[Any]) -> list[SentRow]:
    rows = (await connection.execute(select)).mappings()
    return [SentRow(**{**row, "stream": bool(row["stream"])}) for row in rows]
