"""Use of a key's limits, and the quote of a request against them. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.control.limits import LimitState, counter_states
from app.core.catalog import Catalog
from app.core.grants import Grant, allowed_request
from app.core.limits import Limit, RequestAmounts
from app.core.request import ImageRequest
from app.rates import Rates, charge
from app.store.engine import Database


@dataclass(frozen=True, slots=True)
class QuotedLimit:
    """Limit and the most that a request may take from it, in the limit's unit."""

    state: LimitState
    needed: int

    @property
    def has_room(self) -> bool:
        """True when the request would fit now."""
        assert self.state.left is not None
        return self.needed <= self.state.left


@dataclass(frozen=True, slots=True)
class Quote:
    """Highest cost of a request, and the limits that apply to it, in the order of their checks. In `request` an alias is
    resolved."""

    request: ImageRequest
    amount_micros: int
    limits: tuple[QuotedLimit, ...]

    @property
    def refused_by(self) -> QuotedLimit | None:
        """First limit without room; None when the request would be admitted now."""
        return next((each for each in self.limits if not each.has_room), None)


@dataclass(frozen=True, slots=True)
class LimitReader:
    """Reads counters and rates; changes neither."""

    database: Database
    rates: Rates
    zone: ZoneInfo

    async def states(self, limits: Sequence[Limit], now_ms: int) -> list[LimitState]:
        """Read the use of limits and rates, in the order of `limits`. `spent` of a rate counts the last minute.

        Raises StoreUnavailable.
        """
        found = await self._rates([limit for limit in limits if limit.is_rate], now_ms)
        if counted := [limit for limit in limits if not limit.is_rate]:
            states = await self.database.ask(counter_states, counted, now_ms, self.zone)
            found |= {state.limit.id: state for state in states}
        return [found[limit.id] for limit in limits]

    async def quote(self, catalog: Catalog, grant: Grant, request: ImageRequest, now_ms: int) -> Quote:
        """Quote a request. Raises the errors that come before limits: ModelNotFound, ModelNotAllowed, ModelNotPriced and others."""
        model, resolved = allowed_request(catalog, grant, request)
        needs = RequestAmounts(micros=catalog.quote_micros(model, resolved, now_ms), images=request.n)
        applying = sorted(
            (limit for limit in grant.limits if limit.applies_to(model.id)), key=lambda limit: not limit.is_rate
        )
        states = await self.states(applying, now_ms)
        return Quote(
            resolved, needs.micros, tuple(QuotedLimit(state, needs.amount(state.limit.unit)) for state in states)
        )

    async def _rates(self, limits: Sequence[Limit], now_ms: int) -> dict[int, LimitState]:
        if not limits:
            return {}
        looked = await self.rates.spend([charge(limit, images=0, requests=0) for limit in limits])
        found = {}
        for limit, state in zip(limits, looked.states, strict=True):
            spent, resets_at_ms = limit.amount - state.remaining, now_ms + round(state.reset_s * 1000)
            found[limit.id] = LimitState(limit, spent, 0, state.remaining, resets_at_ms)
        return found
