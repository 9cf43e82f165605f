"""How the limits of one API key stand, and what a request would do to them. Nothing is bought, and no rate is spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.core.catalog import Catalog
from app.core.grants import Grant, allowed_model
from app.core.intervals import COUNTED, bounds_ms
from app.core.limits import Limit, Needs
from app.core.request import ImageRequest
from app.rates import Rates, charge
from app.store import limits as store
from app.store.engine import Database
from app.store.limits import Used


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit now. `left` is below zero where a lowered limit or a dearer answer stands above it; `resets_at_ms` is None for
    what never resets. Of a rate, `used` is what passed in the last minute, and it resets as that minute goes by."""

    limit: Limit
    used: int
    held: int
    left: int
    resets_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request may take from a limit, at the most."""

    standing: Standing
    needed: int

    @property
    def has_room(self) -> bool:
        return self.needed <= self.standing.left


@dataclass(frozen=True, slots=True)
class Quote:
    """The most a request can cost, and every limit it would take from, in the order they are asked."""

    amount_micros: int
    asked: tuple[Asked, ...]

    @property
    def refused_by(self) -> Asked | None:
        """The first limit without room; None: it would be bought now."""
        return next((asked for asked in self.asked if not asked.has_room), None)


@dataclass(frozen=True, slots=True)
class Standings:
    """Reads counters and rates; takes nothing."""

    database: Database
    rates: Rates
    zone: ZoneInfo

    async def of(self, limits: Sequence[Limit], now_ms: int) -> list[Standing]:
        """In the order of `limits`. Raises StoreUnavailable."""
        found = await self._rates([limit for limit in limits if limit.is_rate], now_ms)
        found |= await self._counters([limit for limit in limits if not limit.is_rate], now_ms)
        return [found[limit.id] for limit in limits]

    async def quote(self, catalog: Catalog, grant: Grant, wanted: ImageRequest, now_ms: int) -> Quote:
        """Raises what the request itself would be refused with before any limit is asked: ModelNotFound, ModelNotAllowed,
        ModelNotPriced and the like."""
        model = allowed_model(catalog, grant, wanted)
        needs = Needs(micros=model.quote_micros(wanted, now_ms), images=wanted.n)
        applying = sorted(
            (limit for limit in grant.limits if limit.applies_to(model.id)), key=lambda limit: not limit.is_rate
        )
        standings = await self.of(applying, now_ms)
        asked = tuple(Asked(standing, needs.of(standing.limit.unit)) for standing in standings)
        return Quote(needs.micros, asked)

    async def _rates(self, limits: Sequence[Limit], now_ms: int) -> dict[int, Standing]:
        if not limits:
            return {}
        looked = await self.rates.spend([charge(limit, images=0, requests=0) for limit in limits])
        found = {}
        for limit, state in zip(limits, looked.states, strict=True):
            used, resets_at_ms = limit.amount - state.remaining, now_ms + round(state.reset_s * 1000)
            found[limit.id] = Standing(limit, used, 0, state.remaining, resets_at_ms)
        return found

    async def _counters(self, limits: Sequence[Limit], now_ms: int) -> dict[int, Standing]:
        if not limits:
            return {}
        bounds = {interval: bounds_ms(interval, now_ms, self.zone) for interval in COUNTED}
        starts_ms = {interval: start for interval, (start, _) in bounds.items()}
        async with self.database.read() as connection:
            used = await store.used(connection, starts_ms, [limit.id for limit in limits])
        found = {}
        for limit in limits:
            now = used.get(limit.id, Used())
            left = limit.amount - now.spent - now.held
            found[limit.id] = Standing(limit, now.spent, now.held, left, bounds[limit.interval][1])
        return found
