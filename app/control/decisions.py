"""Decisions on requests of unknown outcome: settle, release, write off.

The reason is stored before the money moves, in a transaction of its own. A crash between the two leaves the reason and an unknown
request; deciding again is safe and adds a second reason.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.control.assessment import highest_cost_micros
from app.control.names import quoted
from app.control.requests import show_request
from app.core.intervals import hour_start_ms, local_day
from app.core.money import AMOUNT_MICROS_MAX
from app.errors import Conflict, InvalidValue
from app.store import prices, reconciliation
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.columns import Ending, Settlement
from app.store.ledger.corrections import Correction, Kind
from app.store.ledger.types import Ledger
from app.store.reconciliation import MatchedCharge, SentRow
from app.store.requests import RequestRecord

REASON_CHARS_MAX = 500
_FLAGS: dict[Kind, str] = {"settle": "by_hand", "write_off": "written_off"}


@dataclass(frozen=True, slots=True)
class DecisionReason:
    """Actor and reason of a decision. The actor is a person or a part of the gateway."""

    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """Ends unknown requests. Each method returns False, with no money moved, when the request is no longer unknown.

    Raises StoreUnavailable or StorageFull.
    """

    database: Database
    ledger: Ledger
    zone: ZoneInfo

    async def settle(
        self,
        request: SentRow,
        kind: Kind,
        cost_micros: int,
        flag: str,
        reason: DecisionReason,
        charge: MatchedCharge | None = None,
    ) -> bool:
        """Book the request at `cost_micros`, with no image. False also when `charge` is one of another request."""
        now_ms = await self._record(request, kind, reason, charge)
        if now_ms is None:
            return False
        settlement = Settlement(
            ending=_ending(request, now_ms),
            cost_micros=cost_micros,
            images=0,
            hour_at_ms=hour_start_ms(request.reserved_at_ms),
            day=local_day(request.reserved_at_ms, self.zone),
            flag=flag,
        )
        return await self.ledger.settle(request.id, settlement) is not None

    async def release(self, request: SentRow, reason: DecisionReason) -> bool:
        """Release the request's holds. A charge that turns up later is posted as a correction."""
        now_ms = await self._record(request, "release", reason)
        if now_ms is None:
            return False
        return await self.ledger.release(request.id, _ending(request, now_ms), ("unknown",))

    async def correct(self, correction: Correction, charge: MatchedCharge) -> bool:
        """Post a correction once. False when `charge` is one of another request, or the cause has a correction already."""
        async with self.database.transaction() as connection:
            mine = await reconciliation.claim(connection, charge, correction.at_ms)
            return mine and await corrections.post_with(connection, correction, self.zone)

    async def _record(
        self, request: SentRow, kind: Kind, reason: DecisionReason, charge: MatchedCharge | None = None
    ) -> int | None:
        now_ms = await self.database.now_ms()
        note = Correction(request.id, kind, reason.text, reason.actor, now_ms)
        async with self.database.transaction() as connection:
            if charge is not None and not await reconciliation.claim(connection, charge, now_ms):
                return None
            if not await corrections.post_with(connection, note, self.zone, ("unknown",)):
                return None
            await log_changes(connection, _logged(request, kind, reason))
            return now_ms


def _logged(request: SentRow, kind: Kind, reason: DecisionReason) -> Change:
    after = {"state": "released" if kind == "release" else "settled", "reason": reason.text, "decided_by": reason.actor}
    return Change(f"request.{kind}", request.id, {"state": request.state}, after)


async def settle_by_hand(
    decisions: Decisions, request_id: str, reason: DecisionReason, cost_micros: int | None
) -> RequestRecord:
    """Settle a request that was charged, at `cost_micros` or, for None, at the most that it can cost at its relay. Raises NotFound,
    Conflict, InvalidValue."""
    if cost_micros is not None and not 0 <= cost_micros <= AMOUNT_MICROS_MAX:
        raise InvalidValue("The cost is out of range.", param="cost")
    return await _settle(decisions, request_id, "settle", reason, cost_micros)


async def write_off(decisions: Decisions, request_id: str, reason: DecisionReason) -> RequestRecord:
    """Settle a request whose charge will never be known, at the most that it can cost at its relay. Raises NotFound,
    Conflict, InvalidValue."""
    return await _settle(decisions, request_id, "write_off", reason, None)


async def release_by_hand(decisions: Decisions, request_id: str, reason: DecisionReason) -> RequestRecord:
    """Release the holds of a request that was not charged. Raises NotFound, Conflict, InvalidValue."""
    request = await _get_unknown(decisions.database, request_id, reason)
    return await _show(decisions.database, request_id, await decisions.release(request, reason))


async def _settle(
    decisions: Decisions, request_id: str, kind: Kind, reason: DecisionReason, cost_micros: int | None
) -> RequestRecord:
    request = await _get_unknown(decisions.database, request_id, reason)
    if cost_micros is None:
        async with decisions.database.read() as connection:
            cost_micros = highest_cost_micros(request, await prices.read_catalog(connection))
    done = await decisions.settle(request, kind, cost_micros, _FLAGS[kind], reason)
    return await _show(decisions.database, request_id, done)


async def _get_unknown(database: Database, request_id: str, reason: DecisionReason) -> SentRow:
    if not 1 <= len(reason.text.strip()) <= REASON_CHARS_MAX:
        raise InvalidValue(f"The reason must have 1 to {REASON_CHARS_MAX} characters: it is kept.", param="reason")
    request = await database.ask(reconciliation.find, request_id)
    if request is None or request.state != "unknown":
        raise _not_unknown(await show_request(database, request_id))
    return request


async def _show(database: Database, request_id: str, done: bool) -> RequestRecord:
    request = await show_request(database, request_id)
    if not done:
        raise _not_unknown(request)
    return request


def _not_unknown(request: RequestRecord) -> Conflict:
    message = f"The request {quoted(request.id)} is {request.state}; only one that is unknown can be decided by hand."
    return Conflict(message, param="id")


def _ending(request: SentRow, now_ms: int) -> Ending:
    """Make an ending that keeps the error stored for the client."""
    return Ending(at_ms=now_ms, http_status=request.http_status, error_code=request.error_code, error=request.error)
