"""Charges of relays that a restored database does not know, booked as corrections of the organization."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.ids import new_id
from app.core.intervals import bounds_ms
from app.core.request import DEFAULT_RELAY
from app.store import reconciliation
from app.store.engine import insert
from app.store.ledger import corrections
from app.store.ledger.corrections import Correction
from app.store.reconciliation import MatchedCharge
from app.store.tables import counters, limits, requests

ACTOR = "restore"
_COUNTED = ("micros", "requests", "images")


@dataclass(frozen=True, slots=True)
class LostCharge:
    """Charge of a relay whose request is in no book any more. `proof` names its row in the log, None for one without a row."""

    relay: str
    model: str
    cost_micros: int
    at_ms: int
    proof: str | None = None
    points: int = 0
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class BookedOwner:
    """Key, user and project that lost charges are booked under."""

    api_key_id: str
    user_id: str
    project_id: str


async def book_lost_charges(
    connection: AsyncConnection, owner: BookedOwner, charges: Sequence[LostCharge], zone: ZoneInfo, now_ms: int
) -> None:
    """Book each charge in the caller's transaction: as the correction of a released request that stands for the lost one. It counts
    in the organization's limits only, because nobody knows whose request it was."""
    for charge in charges:
        request_id = new_id("req_")
        counter_ids = await _counters(connection, charge, zone)
        await connection.execute(sa.insert(requests).values(**_row(request_id, owner, charge, counter_ids)))
        reason = "the relay charged it after the backup that this database was restored from"
        at = "" if charge.relay == DEFAULT_RELAY else f"{charge.relay}:"
        cause = f"{ACTOR}:{at}{charge.proof or request_id}"
        correction = Correction(
            request_id, "restored", reason, ACTOR, now_ms, charge.cost_micros, requests=1, cause=cause
        )
        await corrections.post_with(connection, correction, zone)
        if charge.proof is not None:
            proof = MatchedCharge(charge.relay, charge.proof, request_id, charge.points, charge.at_ms)
            await reconciliation.claim(connection, proof, now_ms)


def _row(request_id: str, owner: BookedOwner, charge: LostCharge, counter_ids: list[int]) -> dict[str, object]:
    return {
        "id": request_id,
        "owner": ACTOR,
        "api_key_id": owner.api_key_id,
        "user_id": owner.user_id,
        "project_id": owner.project_id,
        "operation": "generation",
        "model": charge.model,
        "n": 1,
        "stream": 0,
        "prompt_chars": 0,
        "quote_micros": 0,
        "reserved_at_ms": charge.at_ms,
        "dispatched_at_ms": charge.at_ms,
        "ended_at_ms": charge.at_ms,
        "upstream_ms": 0,
        "upstream_request_id": charge.upstream_request_id,
        "relay": charge.relay,
        "state": "released",
        "counter_ids": counter_ids,
    }


async def _counters(connection: AsyncConnection, charge: LostCharge, zone: ZoneInfo) -> list[int]:
    """Return the counters of the organization's limits that a request for the model held on then; absent ones are opened."""
    own = (limits.c.scope == "organization", limits.c.amount.is_not(None), limits.c.unit.in_(_COUNTED))
    its = (limits.c.model.in_(("", charge.model)), limits.c.interval != "minute")
    found = []
    for id, interval in (await connection.execute(sa.select(limits.c.id, limits.c.interval).where(*own, *its))).all():
        key = {"limit_id": id, "starts_at_ms": bounds_ms(interval, charge.at_ms, zone)[0]}
        opened = insert(connection, counters).values(**key, spent=0, held=0).on_conflict_do_nothing()
        await connection.execute(opened)
        wanted = sa.select(counters.c.id).where(*(counters.c[name] == value for name, value in key.items()))
        found.append(int((await connection.execute(wanted)).scalar_one()))
    return found
