"""Alerts on relays: each trouble is told once over all replicas, and its end once it is proved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web

from app.control import alerts
from app.control.alerts import AlertChange, NewAlert
from app.control.limits import ScopeRef
from app.control.relay_alerting import SILENT_MS, RelayAlerting
from app.control.relay_conditions import RelayConditions
from app.core.alerts import Alert
from app.core.intervals import DAY_MS
from app.core.relays import DEFAULT
from app.core.request import DEFAULT_RELAY
from app.errors import InvalidValue
from app.notify.notifier import Mailbox, Notifier
from app.sandbox import RunningSandbox
from app.store.control_data import ControlData
from app.store.deliveries import FiringRecord
from app.store.engine import Database
from app.store.relay_troubles import SpendingReading, add_reading
from app.store.relays import find_relay, update_relay
from app.store.tables import relay_troubles
from app.upstream.breaker import BreakerRules, Signal
from app.upstream.client import HttpUpstream
from app.upstream.pool import PoolRules, RelayPool
from tests.control.test_alerting import HOOK, MAIL, YUAN, ZONE, Noting, alerting
from tests.gateways import RELAY_KEY
from tests.receivers import served

CHECKING = Notifier(mailbox=Mailbox("127.0.0.1"))


@dataclass(frozen=True, slots=True)
class Replica:
    """What a process knows of the relay of the settings."""

    pool: RelayPool
    work: RelayAlerting

    async def hear(self, signal: Signal, code: str | None = None) -> None:
        """Let a request for a model end."""
        (await self.pool.lease("gpt-image-1", [DEFAULT])).end(signal, code)


@dataclass(slots=True)
class Replicas:
    """Processes on one database."""

    database: Database
    relay_url: str
    stack: AsyncExitStack
    all: list[Replica] = field(default_factory=list)

    async def start(self) -> Replica:
        """Start one."""
        upstream = HttpUpstream(self.relay_url, RELAY_KEY)
        pool = RelayPool(upstream, lambda _: upstream, PoolRules(10, 1, BreakerRules(pause_s=0)))
        self.stack.push_async_callback(pool.close)
        conditions = RelayConditions(pool, ControlData(self.database))
        self.all.append(Replica(pool, RelayAlerting(self.database, conditions, ZONE, YUAN)))
        return self.all[-1]

    async def turn(self) -> None:
        """Let all do their work at once, twice: what one found in the middle of the other's turn comes in the next."""
        for _ in range(2):
            await asyncio.gather(*(each.work.turn() for each in self.all))

    async def pass_time(self) -> None:
        """Move what was seen so far into the past, by as much as ends a trouble."""
        moved = {name: relay_troubles.c[name] - SILENT_MS for name in ("began_at_ms", "seen_at_ms")}
        async with self.database.transaction() as connection:
            await connection.execute(sa.update(relay_troubles).values(moved))
        for each in self.all:
            each.work._since_ms -= SILENT_MS

    async def told(self, alert: Alert) -> list[FiringRecord]:
        """Firings of an alert, oldest first."""
        return (await alerts.firings(self.database, alert.id))[::-1]


@pytest.fixture
async def replicas(database: Database, relay: RunningSandbox) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(database, relay.base_url, stack)


async def on_relays(database: Database, days: int = 0, **given: Any) -> Alert:
    where = ScopeRef(given.pop("scope", "organization"), given.pop("reference", ""))
    wanted: dict[str, Any] = {"interval": "lifetime", "threshold": days, "channels": (HOOK, MAIL)} | given
    return await alerts.create_alert(database, CHECKING, NewAlert(where, "relays", **wanted))


async def test_a_trouble_and_its_end_are_told_once_whichever_replicas_see_it(replicas: Replicas) -> None:
    alert, notifier = await on_relays(replicas.database), Noting()
    seeing = [await replicas.start() for _ in range(3)]
    await replicas.start()
    for each in seeing:
        await each.hear("refused", "upstream_wallet_empty")

    await replicas.turn()
    await alerting(replicas.database, notifier).deliver()
    [begin] = await replicas.told(alert)
    for each in seeing[1:]:
        await each.hear("good")
    await replicas.pass_time()
    await seeing[0].work.turn()
    await replicas.turn()
    assert [record.id for record in await replicas.told(alert)] == [begin.id], "one still sees it"
    await seeing[0].hear("good")
    await replicas.pass_time()
    await replicas.turn()
    await alerting(replicas.database, notifier).deliver()

    assert [record.used for record in await replicas.told(alert)] == [1, 0]
    assert notifier.titles == [
        *["Relay default is paused: its wallet, or the quota of our key there, is used up"] * 2,
        *["Relay default is well again"] * 2,
    ]
    facts = [message.document["data"]["relay"] for _, message in notifier.sent][::2]
    assert [(each["name"], each["code"], each["is_over"]) for each in facts] == [
        ("default", "upstream_wallet_empty", False),
        ("default", "upstream_wallet_empty", True),
    ]
    assert "Top it up" in notifier.sent[0][1].text


async def test_silence_alone_does_not_end_a_trouble(replicas: Replicas) -> None:
    alert, seeing = await on_relays(replicas.database), await replicas.start()
    await seeing.hear("refused", "upstream_misconfigured")
    await replicas.turn()
    replicas.all.clear()  # It died, and the one in its place has not sent a request yet.
    fresh = await replicas.start()
    await replicas.turn()
    await replicas.pass_time()
    await replicas.turn()

    assert [record.used for record in await replicas.told(alert)] == [1]
    await fresh.hear("good")
    await replicas.turn()
    assert [record.used for record in await replicas.told(alert)] == [1, 0]


async def test_others_are_given_time_to_say_that_they_see_it(replicas: Replicas) -> None:
    alert, seeing, other = await on_relays(replicas.database), await replicas.start(), await replicas.start()
    await seeing.hear("refused", "upstream_wallet_empty")
    await replicas.turn()
    replicas.all.remove(seeing)
    await other.hear("good")

    await replicas.turn()
    assert [record.used for record in await replicas.told(alert)] == [1]

    await replicas.pass_time()
    await replicas.turn()
    assert [record.used for record in await replicas.told(alert)] == [1, 0]


async def test_the_next_trouble_is_told_anew_and_an_alert_that_is_new_hears_of_the_present_one(
    replicas: Replicas,
) -> None:
    first, replica = await on_relays(replicas.database), await replicas.start()
    for _ in range(2):
        await replica.hear("refused", "upstream_wallet_empty")
        await replicas.turn()
        await replica.hear("good")
        await replicas.pass_time()
        await replicas.turn()
    await replica.hear("refused", "upstream_misconfigured")
    await replicas.turn()
    second = await on_relays(replicas.database)
    await replicas.turn()

    assert [record.used for record in await replicas.told(first)] == [1, 0, 1, 0, 1]
    [heard] = await replicas.told(second)
    assert heard.trouble is not None and heard.trouble.code == "upstream_misconfigured"


async def test_a_relay_out_of_use_is_no_trouble(replicas: Replicas) -> None:
    alert, replica, notifier = await on_relays(replicas.database), await replicas.start(), Noting()
    await replica.hear("refused", "upstream_misconfigured")
    await replicas.turn()
    async with replicas.database.write() as connection:
        relay = await find_relay(connection, DEFAULT_RELAY)
        assert relay is not None
        await update_relay(connection, type(relay)(DEFAULT_RELAY, disabled_at_ms=1))
    replica.work.conditions.control_data.expire()
    await replicas.pass_time()

    await replicas.turn()
    await alerting(replicas.database, notifier).deliver()

    assert [record.used for record in await replicas.told(alert)] == [1, 0]
    assert notifier.titles[-1] == "Relay default is no longer in use"


@dataclass(slots=True)
class Wallet:
    """Account that a relay tells, in points."""

    used: int = 0
    left: int = 0

    async def tell(self, request: web.Request) -> web.Response:
        data = {"total_used": self.used, "total_available": self.left, "unlimited_quota": False}
        return web.json_response({"code": True, "message": "ok", "data": data})


@pytest.fixture
async def wallet(replicas: Replicas) -> AsyncIterator[Wallet]:
    wallet = Wallet()
    async with served(web.get("/api/usage/token/", wallet.tell)) as replicas.relay_url:
        yield wallet


async def test_a_balance_is_told_by_its_days_and_again_once_it_lasts(replicas: Replicas, wallet: Wallet) -> None:
    alert, none, notifier = await on_relays(replicas.database, 3), await on_relays(replicas.database), Noting()
    point_micros = 2  # 500,000 points are a yuan.
    now_ms = await replicas.database.now_ms()
    async with replicas.database.transaction() as connection:
        await add_reading(connection, DEFAULT_RELAY, "2026-01-01", SpendingReading(now_ms - 2 * DAY_MS, 0))
    works = [await replicas.start() for _ in range(2)]

    async def read(left_yuan: int) -> list[int]:
        wallet.used, wallet.left = 20 * YUAN // point_micros, left_yuan * YUAN // point_micros  # 10 yuan a day
        await asyncio.gather(*(each.work.read_balances() for each in works))
        await replicas.pass_time()
        await replicas.turn()
        return [record.used for record in await replicas.told(alert)]

    assert await read(31) == []
    assert await read(29) == [1]
    assert await read(31) == [1], "a day more, or it would flap"
    assert await read(41) == [1, 0]
    assert await replicas.told(none) == []
    await alerting(replicas.database, notifier).deliver()
    assert sorted(set(notifier.titles)) == [
        "The balance of relay default lasts for 3 days or more again",
        "The balance of relay default lasts for fewer than 3 days",
    ]
    assert "29.00 CNY were left" in notifier.sent[0][1].text


async def test_a_balance_that_nobody_could_read_is_not_said_to_last(replicas: Replicas, wallet: Wallet) -> None:
    alert, now_ms = await on_relays(replicas.database, 3), await replicas.database.now_ms()
    async with replicas.database.transaction() as connection:
        await add_reading(connection, DEFAULT_RELAY, "2026-01-01", SpendingReading(now_ms - 2 * DAY_MS, 0))
    wallet.used, wallet.left = 1000, 100
    await (await replicas.start()).work.read_balances()
    await replicas.turn()
    replicas.all.clear()
    await replicas.start()
    await replicas.turn()
    await replicas.pass_time()

    await replicas.turn()

    assert [record.used for record in await replicas.told(alert)] == [1]


@pytest.mark.parametrize(
    "given",
    [
        {"threshold": -1},
        {"threshold": 366},
        {"threshold": None, "percent": 50},
        {"scope": "project", "reference": "default"},
        {"model": "gpt-image-1"},
    ],
)
async def test_an_alert_on_relays_that_cannot_be_is_refused(database: Database, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        await on_relays(database, **given)


async def test_its_days_are_changed_and_its_interval_is_not(database: Database) -> None:
    made = await on_relays(database, 3)

    changed = await alerts.change_alert(database, CHECKING, made.id, AlertChange(threshold=5))

    assert (changed.threshold, changed.interval, changed.is_plain) == (5, "lifetime", False)
    with pytest.raises(InvalidValue):
        await alerts.change_alert(database, CHECKING, made.id, AlertChange(interval="month"))
