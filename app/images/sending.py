"""Way of an admitted request to a relay: a place there, the dispatched mark, the request, and the next relay after a free refusal.

A request goes to another relay only when the first one refused it, for a reason of its own, before it took anything on, or was not
reached. Once its outcome is unknown it is never sent again.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from app.core.relays import Relay
from app.core.request import ImageRequest
from app.errors import (
    GatewayError,
    InternalError,
    Overloaded,
    StorageFull,
    StoreUnavailable,
    UpstreamMisconfigured,
    UpstreamModelUnavailable,
    UpstreamRateLimited,
    UpstreamUnreachable,
    UpstreamWalletEmpty,
)
from app.images.admission import Admitted
from app.images.answers import NO_FILE, read_refusal
from app.images.booking import CompleteAnswer
from app.images.crash import crash_point
from app.images.streaming import ReceivedAnswer
from app.store.ledger.types import RefusedDispatch
from app.upstream.breaker import Signal
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer, Broken, NotSent
from app.upstream.lease import Lease

if TYPE_CHECKING:
    from app.images.exchange import ExchangeContext

CONNECT_TRIES = 3
DISPATCH_TRIES = 3
PAUSE_S = 0.1
UNSENT = "The reservation did not hold until the request could be sent; nothing was bought. Try again."
UNREACHABLE = "The upstream cannot be reached; nothing was bought. Try again."
FULL = "The gateway had no room left to store the upstream's answer."
CUT = "The connection to the upstream broke off after the request had been sent."
UNMARKED = "The gateway made a mistake before it sent this request; nothing was bought."
UNREAD = "The gateway made a mistake while it read the upstream's answer."
log = structlog.get_logger()


class Unsent(Exception):
    """Raised for a request that may not be sent; `error` is for its client."""

    def __init__(self, error: GatewayError):
        super().__init__(error.code)
        self.error = error


@dataclass(slots=True)
class Sending:
    """Way of one request to its relay; run it once. `dispatched` is set once the mark is committed."""

    context: "ExchangeContext"
    admitted: Admitted
    request: ImageRequest
    received: ReceivedAnswer
    dispatched: asyncio.Event
    relay: Relay | None = field(default=None, init=False)
    """Relay that the request was dispatched to last, as it was when the request was admitted."""
    dispatched_at_ms: int | None = field(default=None, init=False)
    upstream_request_id: str | None = field(default=None, init=False)
    _tried: dict[str, RefusedDispatch] = field(default_factory=dict, init=False)
    _is_answered: bool = field(default=False, init=False)
    """Whether a 200 has come, whose bytes are in `received`."""

    @property
    def request_id(self) -> str:
        return self.admitted.reservation.request_id

    @property
    def failovers(self) -> tuple[tuple[str, str], ...]:
        """Relays that refused the request before another got it, each with the error code of its refusal."""
        last = self.relay.name if self.relay else None
        return tuple((each.relay, each.code) for each in self._tried.values() if each.relay != last)

    async def run(self) -> CompleteAnswer | Verdict:
        """Send the request and classify the answer. Raises Unsent while nothing was sent; whatever happens then, it returns."""
        model, relays = self.admitted.model.id, self.admitted.relays
        try:
            lease = await self.context.relays.lease(model, relays)
        except GatewayError as exc:
            raise Unsent(exc) from None
        ends_at_s = asyncio.get_running_loop().time() + self.context.deadline_s
        outcome = await self._exchange(lease, ends_at_s)
        while self._may_go_on(outcome, ends_at_s):
            after = self.context.relays.free_elsewhere(model, relays, self._tried)
            if after is None:
                break
            log.warning("a relay refused a request; another gets it", request_id=self.request_id, next=after.relay.name)
            try:
                outcome = await self._exchange(after, ends_at_s)
            except Unsent:  # The refusal is the outcome: nothing may be sent any more.
                break
        return outcome

    async def _exchange(self, lease: Lease, ends_at_s: float) -> CompleteAnswer | Verdict:
        """Dispatch the request to a relay and send it. Raises Unsent."""
        signal: Signal = "neutral"
        code: str | None = None
        try:
            await self._dispatch(next(relay for relay in self.admitted.relays if relay.name == lease.relay.name))
            outcome, signal = await self._outcome(lease, ends_at_s)
            code = outcome.error.code if isinstance(outcome, Verdict) else None
        finally:
            lease.end(signal, code)
        assert self.dispatched_at_ms is not None
        self._tried[lease.relay.name] = RefusedDispatch(lease.relay.name, self.dispatched_at_ms, code or "")
        return outcome

    def _may_go_on(self, outcome: CompleteAnswer | Verdict, ends_at_s: float) -> bool:
        """Return whether another relay may get the request: this one refused it for free, and before any answer began."""
        is_refused = isinstance(outcome, Verdict) and outcome.is_about_relay and not self._is_answered
        return is_refused and asyncio.get_running_loop().time() < ends_at_s

    async def _dispatch(self, relay: Relay) -> None:
        """Commit the dispatched mark. Raises Unsent when that fails: then nothing may be sent."""
        error: GatewayError = StoreUnavailable(UNSENT)
        try:
            self.received.spool.reserve_descriptor()
            if await self._mark_dispatched(relay):
                crash_point("after_dispatch")
                self.dispatched.set()
                return
        except OSError as exc:
            log.error("no file for an answer", request_id=self.request_id, error=exc.strerror)
            error = Overloaded(NO_FILE)
        except Exception:
            log.exception("the dispatched mark failed", request_id=self.request_id)
            error = InternalError(UNMARKED)
        raise Unsent(error)

    async def _mark_dispatched(self, relay: Relay) -> bool:
        reservation, ledger = self.admitted.reservation, self.context.ledger
        refused = next(reversed(self._tried.values()), None)
        for attempt in range(DISPATCH_TRIES):
            at_ms = self.context.clock.now_ms()
            try:
                crash_point("before_dispatch")
                if not await ledger.dispatch(reservation.request_id, reservation.owner, at_ms, relay.name, refused):
                    return False
                # The id of the relay before would make reconciliation take its charge for this one.
                self.relay, self.dispatched_at_ms, self.upstream_request_id = relay, at_ms, None
                return True
            except (StoreUnavailable, StorageFull):
                await asyncio.sleep(PAUSE_S * 2**attempt)
        return False

    async def _outcome(self, lease: Lease, ends_at_s: float) -> tuple[CompleteAnswer | Verdict, Signal]:
        """Send the request and classify the answer. Never raises: an error after sending is an unknown outcome, perhaps charged."""
        try:
            async with asyncio.timeout_at(ends_at_s):
                outcome = await self._send_and_read(lease)
        except NotSent as exc:
            log.warning(
                "the relay cannot be reached", request_id=self.request_id, relay=lease.relay.name, reason=str(exc)
            )
            return Verdict("released", UpstreamUnreachable(UNREACHABLE)), "unreached"
        except TimeoutError:
            late = f"The upstream did not finish within {self.context.deadline_s:.0f} s."
            return self.received.answer_so_far() or unknown(late), "costly"
        except Broken:
            return self.received.answer_so_far() or unknown(CUT), "costly"
        except OSError as exc:
            log.error("the answer could not be stored", request_id=self.request_id, error=exc.strerror)
            return self.received.answer_so_far() or unknown(FULL), "neutral"
        except Exception:
            log.exception("the exchange failed", request_id=self.request_id)
            with suppress(OSError):
                await asyncio.to_thread(self.received.keep)
            return Verdict("unknown", InternalError(UNREAD)), "neutral"
        return outcome, _signal(outcome)

    async def _send_and_read(self, lease: Lease) -> CompleteAnswer | Verdict:
        answer = await self._send(lease)
        self.upstream_request_id = answer.upstream_request_id
        self._is_answered = answer.status == 200
        try:
            return await self.received.read(answer) if self._is_answered else await read_refusal(answer)
        finally:
            await answer.close()

    async def _send(self, lease: Lease) -> Answer:
        """Send the request; connect again only while no byte of it was sent. Raises NotSent or Broken."""
        send, drops = lease.client.send, self.admitted.model.refuses_response_format
        for attempt in range(1, CONNECT_TRIES):
            with suppress(NotSent):
                return await send(self.request, model_drops_response_format=drops, request_id=self.request_id)
            await asyncio.sleep(PAUSE_S * 2**attempt)
        return await send(self.request, model_drops_response_format=drops, request_id=self.request_id)


def _signal(outcome: CompleteAnswer | Verdict) -> Signal:
    """Return what an outcome says about the relay."""
    if isinstance(outcome, CompleteAnswer):
        return "costly" if outcome.images.bad_payload else "good"
    if outcome.outcome == "unknown":
        return "costly"
    if isinstance(outcome.error, UpstreamMisconfigured | UpstreamWalletEmpty):
        return "refused"
    if isinstance(outcome.error, UpstreamUnreachable):
        return "unreached"
    return "neutral" if isinstance(outcome.error, UpstreamRateLimited | UpstreamModelUnavailable) else "good"
