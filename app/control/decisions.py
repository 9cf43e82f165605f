"""Ending what stayed unknown, with the reason kept beside it. The word is written down before the money moves."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.control.names import shown
from app.control.requests import show_request
from app.core.intervals import hour_start_ms, local_day
from app.core.money import AMOUNT_MICROS_MAX
from app.errors import Conflict, InvalidValue
from app.store import reconciliation
from app.store.audit_logs import Change
from app.store.audit_logs import note as log_change
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.columns import Ending, Settlement
from app.store.ledger.corrections import Correction, Kind
from app.store.ledger.types import Ledger
from app.store.reconciliation import Dispatched, MatchedCharge
from app.store.requests import RequestRecord

REASON_CHARS_MAX = 500
_FLAGS: dict[Kind, str] = {"settle": "by_hand", "write_off": "written_off"}


@dataclass(frozen=True, slots=True)
class Word:
    """Who decided, and why."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """What may be decided about an unknown request. Each returns False, with no money moved, when it is unknown no more."""

    database: Database
    ledger: Ledger
    zone: ZoneInfo

    async def settle(
        self,
        request: Dispatched,
        kind: Kind,
        cost_micros: int,
        flag: str,
        word: Word,
        proof: MatchedCharge | None = None,
    ) -> bool:
        """Book it at `cost_micros`; no picture came. A `proof` that proves another request already proves nothing."""
        now_ms = await self._written_down(request, kind, word, proof)
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

    async def release(self, request: Dispatched, word: Word) -> bool:
        """Give its holds back. A charge that turns up later is posted as a correction."""
        now_ms = await self._written_down(request, "release", word)
        if now_ms is None:
            return False
        return await self.ledger.release(request.id, _ending(request, now_ms), ("unknown",))

    async def correct(self, correction: Correction, proof: MatchedCharge) -> bool:
        """Post it, once for all. False when `proof` proves another request, or the cause has been answered."""
        async with self.database.transaction() as connection:
            mine = await reconciliation.claim(connection, proof, correction.at_ms)
            return mine and await corrections.post_with(connection, correction, self.zone)

    async def _written_down(
        self, request: Dispatched, kind: Kind, word: Word, proof: MatchedCharge | None = None
    ) -> int | None:
        now_ms = await self.database.now_ms()
        note = Correction(request.id, kind, word.reason, word.actor, now_ms)
        async with self.database.transaction() as connection:
            if proof is not None and not await reconciliation.claim(connection, proof, now_ms):
                return None
            if not await corrections.post_with(connection, note, self.zone, ("unknown",)):
                return None
            await log_change(connection, _logged(request, kind, word))
            return now_ms


def _logged(request: Dispatched, kind: Kind, word: Word) -> Change:
    after = {"state": "released" if kind == "release" else "settled", "reason": word.reason, "decided_by": word.actor}
    return Change(f"request.{kind}", request.id, {"state": request.state}, after)


async def settle_by_hand(decisions: Decisions, request_id: str, word: Word, cost_micros: int | None) -> RequestRecord:
    """It was charged: at `cost_micros`, or at the quote. Raises NotFound, Conflict, InvalidValue."""
    if cost_micros is not None and not 0 <= cost_micros <= AMOUNT_MICROS_MAX:
        raise InvalidValue("The cost is out of range.", param="cost")
    return await _settle(decisions, request_id, "settle", word, cost_micros)


async def write_off(decisions: Decisions, request_id: str, word: Word) -> RequestRecord:
    """Nobody will find out: its money counts as spent at the quote. Raises NotFound, Conflict, InvalidValue."""
    return await _settle(decisions, request_id, "write_off", word, None)


async def release_by_hand(decisions: Decisions, request_id: str, word: Word) -> RequestRecord:
    """It was not charged. Raises NotFound, Conflict, InvalidValue."""
    request = await _unknown(decisions.database, request_id, word)
    return await _shown(decisions.database, request_id, await decisions.release(request, word))


async def _settle(
    decisions: Decisions, request_id: str, kind: Kind, word: Word, cost_micros: int | None
) -> RequestRecord:
    request = await _unknown(decisions.database, request_id, word)
    cost_micros = request.quote_micros if cost_micros is None else cost_micros
    done = await decisions.settle(request, kind, cost_micros, _FLAGS[kind], word)
    return await _shown(decisions.database, request_id, done)


async def _unknown(database: Database, request_id: str, word: Word) -> Dispatched:
    if not 1 <= len(word.reason.strip()) <= REASON_CHARS_MAX:
        raise InvalidValue(f"The reason must have 1 to {REASON_CHARS_MAX} characters: it is kept.", param="reason")
    async with database.read() as connection:
        request = await reconciliation.find(connection, request_id)
    if request is None or request.state != "unknown":
        raise _no_longer(await show_request(database, request_id))
    return request


async def _shown(database: Database, request_id: str, done: bool) -> RequestRecord:
    request = await show_request(database, request_id)
    if not done:
        raise _no_longer(request)
    return request


def _no_longer(request: RequestRecord) -> Conflict:
    message = f"The request {shown(request.id)} is {request.state}; only one that is unknown can be decided by hand."
    return Conflict(message, param="id")


def _ending(request: Dispatched, now_ms: int) -> Ending:
    """What its client was told stays as it was."""
    return Ending(at_ms=now_ms, http_status=request.http_status, error_code=request.error_code, error=request.error)
