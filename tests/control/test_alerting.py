"""Alerts at work: noticed once, delivered at least once, on either database."""

import asyncio
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.control import alerts
from app.control.alerting import BACKOFF_S, LEASE_MS, Alerting
from app.control.alerts import AlertChange, NewAlert
from app.control.limits import ScopeRef
from app.core.alerts import Alert, Channel, Message
from app.core.intervals import local_day
from app.notify.notifier import Mailbox, NotDelivered, Notifier
from app.notify.webhook_secret import new_webhook_secret
from app.store.engine import Database
from app.store.tables import deliveries
from tests.databases import insert_usage

ZONE = ZoneInfo("Asia/Shanghai")
YUAN = 1_000_000
HOOK = Channel("webhook", url="https://example.com/hook", secret=new_webhook_secret())
MAIL = Channel("email", ("a@example.com",))


class Died(BaseException):
    """What nobody catches."""


@dataclass(frozen=True, slots=True)
class Noting(Notifier):
    """The edge of the network: keeps what it is given, or fails as it is told to."""

    sent: list[tuple[Channel, Message]] = field(default_factory=list)
    fails: list[BaseException] = field(default_factory=list)

    async def send(self, channel: Channel, message: Message) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.sent.append((channel, message))

    @property
    def titles(self) -> list[str]:
        return [message.title for _, message in self.sent]


def alerting(database: Database, notifier: Notifier) -> Alerting:
    return Alerting(database, notifier, ZONE, "CNY", None)


async def alert(database: Database, threshold: int | None, *channels: Channel, **given: Any) -> Alert:
    where = ScopeRef(given.pop("scope", "organization"), given.pop("reference", ""))
    wanted = {"unit": "micros", "interval": "month"} | given
    return await alerts.create_alert(
        database,
        Notifier(mailbox=Mailbox("127.0.0.1")),
        NewAlert(where, threshold=threshold, channels=channels or (HOOK,), **wanted),
    )


async def today(database: Database) -> str:
    return local_day(await database.now_ms(), ZONE)


async def used(database: Database, **given: Any) -> None:
    await insert_usage(database, **({"day": await today(database)} | given))


async def states(database: Database) -> list[tuple[str, int]]:
    async with database.read() as connection:
        rows = await connection.execute(sa.select(deliveries.c.state, deliveries.c.attempts).order_by(deliveries.c.id))
        return [(state, attempts) for state, attempts in rows]


async def make_due(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(sa.update(deliveries).values(due_at_ms=0))


async def test_an_alert_is_set_off_once_and_told_to_every_channel(database: Database) -> None:
    notifier = Noting()
    work = alerting(database, notifier)
    await alert(database, 2 * YUAN, HOOK, MAIL)
    await used(database, cost_micros=2 * YUAN - 1)
    assert (await work.fire_reached(), await work.deliver()) == (0, 0)

    await used(database, hour_at_ms=1, cost_micros=1)
    assert [await work.fire_reached() for _ in range(2)] == [1, 0]
    assert [await work.deliver() for _ in range(2)] == [2, 0]

    assert notifier.titles == ["Spend by the organization this month reached 2.00 CNY"] * 2
    assert {channel.type for channel, _ in notifier.sent} == {"webhook", "email"}
    [first, second] = [message for _, message in notifier.sent]
    assert first.id != second.id and first.document["data"]["used"] == "2.00"
    assert await states(database) == [("delivered", 1)] * 2


async def test_at_zero_it_is_set_off_by_the_first_use_and_not_before(database: Database) -> None:
    work = alerting(database, Noting())
    await alert(database, 0)

    assert await work.fire_reached() == 0
    await used(database, cost_micros=10)
    assert (await work.fire_reached(), await work.fire_reached()) == (1, 0)


async def test_many_replicas_at_once_set_it_off_and_tell_it_once(database: Database) -> None:
    notifier = Noting()
    works = [alerting(database, notifier) for _ in range(6)]
    await alert(database, YUAN, HOOK)
    await used(database)

    fired = await asyncio.gather(*(work.fire_reached() for work in works))
    await asyncio.gather(*(work.deliver() for work in works))

    assert sum(fired) == 1
    assert len(notifier.sent) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"unit": "images", "threshold": 3}, 1),
        ({"unit": "images", "threshold": 4}, 0),
        ({"unit": "requests", "threshold": 2}, 1),
        ({"model": "gpt-image-1", "threshold": YUAN}, 1),
        ({"model": "seedream-3.0", "threshold": YUAN}, 0),
        ({"scope": "project", "reference": "default", "threshold": 2 * YUAN}, 1),
        ({"interval": "day", "threshold": 2 * YUAN}, 1),
        ({"interval": "lifetime", "threshold": 7 * YUAN}, 1),
        ({"interval": "lifetime", "threshold": 7 * YUAN + 10_000}, 0),
    ],
)
async def test_it_counts_what_it_watches_and_nothing_else(
    database: Database, given: dict[str, Any], expected: int
) -> None:
    work = alerting(database, Noting())
    await alert(database, **given)
    await used(database, images=2)
    await used(database, hour_at_ms=1, model="other")
    await used(database, hour_at_ms=2, day="2020-01-01", cost_micros=5 * YUAN)

    assert await work.fire_reached() == expected


async def test_an_earlier_month_does_not_count_and_its_days_before_yesterday_do(database: Database) -> None:
    work, now = alerting(database, Noting()), date.fromisoformat(await today(database))
    await alert(database, YUAN)
    await used(database, day=(now.replace(day=1) - timedelta(days=1)).isoformat(), cost_micros=5 * YUAN)
    assert await work.fire_reached() == 0

    fresh = alerting(database, Noting())  # The other one keeps the sum of older days for ten minutes.
    await used(database, hour_at_ms=1, day=now.replace(day=1).isoformat())
    assert await fresh.fire_reached() == 1


async def test_a_new_threshold_is_told_again_and_the_old_one_is_not(database: Database) -> None:
    notifier = Noting()
    work = alerting(database, notifier)
    made = await alert(database, YUAN)
    await used(database, cost_micros=3 * YUAN)
    await work.fire_reached()

    await alerts.change_alert(database, notifier, made.id, AlertChange(threshold=2 * YUAN))
    assert await work.fire_reached() == 1
    await alerts.change_alert(database, notifier, made.id, AlertChange(threshold=YUAN))
    assert await work.fire_reached() == 0


async def test_what_fails_is_tried_again_later_with_the_same_id_and_in_the_end_given_up(database: Database) -> None:
    notifier = Noting(fails=[NotDelivered("busy")] * 2)
    work = alerting(database, notifier)
    made = await alert(database, YUAN)
    await used(database)
    await work.fire_reached()

    assert [await work.deliver() for _ in range(2)] == [1, 0], "only after a while"
    [record] = await alerts.firings(database, made.id)
    [waiting] = record.deliveries
    assert (waiting.state, waiting.attempts, waiting.error) == ("pending", 1, "busy")
    assert waiting.channel == {"type": "webhook", "url": HOOK.url}
    for _ in range(2):
        await make_due(database)
        await work.deliver()
    assert await states(database) == [("delivered", 3)]
    assert [message.id for _, message in notifier.sent] == [waiting.id]


async def test_after_the_last_try_it_is_given_up_and_said(database: Database) -> None:
    notifier = Noting(fails=[NotDelivered("busy")] * 99)
    work = alerting(database, notifier)
    await alert(database, YUAN)
    await used(database)
    await work.fire_reached()

    with capture_logs() as logs:
        for _ in range(len(BACKOFF_S) + 3):
            await make_due(database)
            await work.deliver()

    assert await states(database) == [("failed", len(BACKOFF_S) + 1)]
    assert [entry["given_up"] for entry in logs if "given_up" in entry] == [False] * len(BACKOFF_S) + [True]
    assert HOOK.secret not in str(logs)


async def test_a_final_failure_is_not_tried_again(database: Database) -> None:
    notifier = Noting(fails=[NotDelivered("gone", final=True)])
    work = alerting(database, notifier)
    await alert(database, YUAN)
    await used(database)
    await work.fire_reached()
    await work.deliver()

    assert await states(database) == [("failed", 1)]


async def test_a_process_that_dies_between_firing_and_sending_loses_nothing(database: Database) -> None:
    notifier = Noting()
    dead, living = alerting(database, Noting(fails=[Died()])), alerting(database, notifier)
    await alert(database, YUAN)
    await used(database)
    await dead.fire_reached()
    with pytest.raises(Died):
        await dead.deliver()

    assert await living.deliver() == 0, "the dead one still holds it"
    async with database.transaction() as connection:  # Two minutes later.
        await connection.execute(sa.update(deliveries).values(due_at_ms=deliveries.c.due_at_ms - LEASE_MS))
    assert await living.deliver() == 1
    assert len(notifier.sent) == 1


async def test_of_a_deleted_alert_nothing_more_is_told(database: Database) -> None:
    notifier = Noting()
    work = alerting(database, notifier)
    made = await alert(database, YUAN)
    await used(database)
    await work.fire_reached()
    await alerts.delete_alert(database, made.id)

    await work.deliver()

    assert await states(database) == [("dropped", 0)]
    assert notifier.sent == []
    assert await work.fire_reached() == 0
