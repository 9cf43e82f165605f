"""Alerts on relays: notices which are paused or run out of money, and when that is over. Every replica runs it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.chores import Chore, WhenFit
from app.control.relay_conditions import RelayCondition, RelayConditions
from app.core.intervals import DAY_MS, HOUR_MS, local_day
from app.core.relay_alerts import RelayTrouble, TroubleOutcome
from app.core.relays import Relay
from app.errors import ConfigurationError
from app.store import deliveries
from app.store import relay_troubles as store
from app.store.engine import Database
from app.store.relay_troubles import SpendingReading
from app.upstream.billing import points_to_micros, read_account

SILENT_MS = 30_000
"""Time after which a trouble that no replica sees any more is over."""
PACE_MS = 7 * DAY_MS
"""Time over which spending is measured for the days that a balance lasts; less of it, but at least PACE_MS_MIN, at first."""
PACE_MS_MIN = 6 * HOUR_MS
TroubleKey = tuple[str, int]
"""Relay and days of balance, 0 for its breaker."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RelayBalance:
    """Money left to our key at a relay, and what was spent there in a day lately."""

    left_micros: int
    daily_micros: int

    def lasts(self, days: int) -> bool:
        """Return whether it lasts so many days at that pace."""
        return self.left_micros > 0 and self.left_micros >= days * self.daily_micros


@dataclass(slots=True)
class RelayAlerting:
    """Chores behind alerts on relays. The database lets each trouble begin and end once, and be told once by each alert.

    A trouble is over when no replica has seen it for `silent_ms` and, of a breaker, a request has succeeded since. A turn without
    such alerts costs one query. `micros_per_dollar` is the setting, for relays without a price of their own.
    """

    database: Database
    conditions: RelayConditions
    zone: ZoneInfo
    micros_per_dollar: int
    silent_ms: int = SILENT_MS
    _balances: dict[str, RelayBalance] = field(default_factory=dict, init=False)
    _last_ms: int = field(default=0, init=False)
    _since_ms: int = field(default=0, init=False)
    """Begin of the unbroken contact with the database: only then it is known that others are silent."""

    def chores(self, when_fit: WhenFit) -> Iterator[Chore]:
        """Yield the chores, which run while `when_fit` lets them."""
        yield Chore("alerts on relays", when_fit(self.turn), every_s=3.0)
        yield Chore("balances of relays", when_fit(self.read_balances), every_s=300.0, first_after_s=5.0)

    async def turn(self) -> int:
        """Record which troubles began and ended, and fire the alerts that have not told of one; returns how many. Raises
        GatewayError."""
        now_ms = await self.database.now_ms()
        if now_ms - self._last_ms > self.silent_ms:
            self._since_ms = now_ms
        self._last_ms = now_ms
        async with self.database.read() as connection:
            days = await store.watched_days(connection)
            known = await store.open_troubles(connection) if days else {}
        if not days:
            return 0
        await self._record(days, {(each.relay, each.balance_days): (each, known[each]) for each in known}, now_ms)
        untold = await self.database.ask(store.untold_news, now_ms, self.silent_ms)
        for news in untold:
            async with self.database.transaction() as connection:
                firing_id = await deliveries.fire_news(connection, news, now_ms)
            if firing_id is not None:
                about = {"relay": news.trouble.relay, "code": news.trouble.code, "over": news.is_over}
                log.info("alert", alert_id=news.alert.id, firing_id=firing_id, unit="relays", **about)
        return len(untold)

    async def read_balances(self) -> None:
        """Ask each relay for its balance, which is free, where an alert watches it. Raises GatewayError."""
        async with self.database.read() as connection:
            if not any(await store.watched_days(connection)):
                return
        await self.conditions.read()
        for relay in self.conditions.in_use:
            await self._read_balance(relay)

    async def _read_balance(self, relay: Relay) -> None:
        try:
            account = await read_account(self.conditions.pool.client(relay))
        except ConfigurationError:
            return
        if account.left_points is None or account.used_points is None:
            return
        now_ms = await self.database.now_ms()
        reading = SpendingReading(now_ms, account.used_points)
        async with self.database.transaction() as connection:
            await store.add_reading(connection, relay.name, local_day(now_ms, self.zone), reading)
            since_ms = max(now_ms - PACE_MS, relay.key_replaced_at_ms or 0)
            before = await store.oldest_reading(connection, relay.name, since_ms)
        if before is None or now_ms - before.read_at_ms < PACE_MS_MIN:
            return
        price = relay.micros_per_dollar or self.micros_per_dollar
        spent_micros = points_to_micros(reading.used_points - before.used_points, price)
        daily_micros = spent_micros * DAY_MS // (now_ms - before.read_at_ms)
        self._balances[relay.name] = RelayBalance(points_to_micros(account.left_points, price), daily_micros)

    async def _record(self, days: set[int], known: dict[TroubleKey, tuple[RelayTrouble, int]], now_ms: int) -> None:
        """Record begins, signs and ends. `known` has the open troubles, each with the instant (Unix ms) of its last sign."""
        conditions = {each.name: each for each in await self.conditions.read()}
        mine = self._seen(conditions, days, set(known), now_ms)
        begun = [trouble for key, trouble in mine.items() if key not in known]
        signs = [
            trouble.id
            for key, (trouble, seen_ms) in known.items()
            if key in mine and now_ms - seen_ms > self.silent_ms // 3
        ]
        silent = [pair for key, pair in known.items() if key not in mine and now_ms - pair[1] >= self.silent_ms]
        is_steady = now_ms - self._since_ms >= self.silent_ms
        ended = [(each, self._outcome(each, seen_ms, conditions, now_ms)) for each, seen_ms in silent if is_steady]
        over = [(trouble, outcome) for trouble, outcome in ended if outcome is not None]
        if begun or signs or over:
            async with self.database.transaction() as connection:
                await self._write(connection, begun, signs, over, now_ms)

    async def _write(
        self,
        connection: AsyncConnection,
        begun: list[RelayTrouble],
        signs: list[int],
        over: list[tuple[RelayTrouble, TroubleOutcome]],
        now_ms: int,
    ) -> None:
        for trouble in begun:
            await store.begin_trouble(connection, trouble)
        await store.touch_troubles(connection, signs, now_ms)
        for trouble, outcome in over:
            await store.end_trouble(connection, trouble, outcome, now_ms, self.silent_ms)

    def _seen(
        self, conditions: dict[str, RelayCondition], days: set[int], known: set[TroubleKey], now_ms: int
    ) -> dict[TroubleKey, RelayTrouble]:
        """List the troubles that this replica sees, and those of balances that it knows nothing of."""
        paused = (each for each in conditions.values() if each.state != "closed")
        found = [RelayTrouble(0, each.name, 0, each.code, None, None, now_ms) for each in paused]
        for name in conditions:
            balance = self._balances.get(name)
            for least in sorted(days - {0}):
                is_open = (name, least) in known
                if is_open if balance is None else not balance.lasts(least + is_open):  # A day more, or it would flap.
                    left, daily = (balance.left_micros, balance.daily_micros) if balance else (None, None)
                    found.append(RelayTrouble(0, name, least, None, left, daily, now_ms))
        return {(each.relay, each.balance_days): each for each in found}

    def _outcome(
        self, trouble: RelayTrouble, seen_ms: int, conditions: dict[str, RelayCondition], now_ms: int
    ) -> TroubleOutcome | None:
        """Return how a trouble that nobody sees has ended; None while nothing proves that it has."""
        condition = conditions.get(trouble.relay)
        if condition is None:
            return "unused"
        if trouble.balance_days:
            return "well"
        good_s_ago = condition.good_s_ago
        return "well" if good_s_ago is not None and now_ms - good_s_ago * 1000 > seen_ms else None
