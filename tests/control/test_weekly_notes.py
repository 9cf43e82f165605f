"""Weekly notes: sent once over replicas, by a real mail server, with what the book says."""

import asyncio
from string import Formatter
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control.invitations import accept_invitation, invite
from app.control.limits import LimitChange, ScopeRef, set_limits
from app.control.sessions import session_of
from app.control.weekly_notes import SENT_AT_MS, WeeklyNotes, set_note
from app.core.actors import AccessRole
from app.core.intervals import DAY_MS, HOUR_MS, bounds_ms, local_day
from app.core.weekly_note import TEXTS
from app.errors import InvalidValue
from app.notify.notifier import Mailbox, Notifier
from app.store.engine import Database
from app.store.reconciliation import DriftRow, save_drift
from app.store.sign_in import Session
from app.store.tables import users, weekly_notes
from app.store.weekly_notes import find_subscription
from tests.databases import insert_request, insert_usage
from tests.receivers import MailServer, mail_server

ZONE = ZoneInfo("Asia/Shanghai")
YUAN = 1_000_000


async def person(database: Database, name: str, role: AccessRole = "member") -> Session:
    link = await invite(database, f"{name}@example.com", role)
    token = (await accept_invitation(database, link.token, "correct horse battery", "a browser")).token
    found = await session_of(database, token, await database.now_ms())
    assert found is not None
    return found


def notifier(server: MailServer) -> Notifier:
    return Notifier(mailbox=Mailbox("127.0.0.1", server.port, "none"))


def notes(database: Database, server: MailServer) -> WeeklyNotes:
    return WeeklyNotes(database, notifier(server), ZONE, "CNY", "https://images.example.com/v1")


async def last_week(database: Database) -> int:
    """Start of the last whole week, in Unix ms."""
    this_ms, _ = bounds_ms("week", await database.now_ms(), ZONE)
    return bounds_ms("week", this_ms - 1, ZONE)[0]


async def make_due(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(sa.update(weekly_notes).values(due_at_ms=0))


async def use(database: Database, user_id: str, at_ms: int, cost_micros: int) -> None:
    place = {"hour_at_ms": at_ms - at_ms % HOUR_MS, "day": local_day(at_ms, ZONE)}
    await insert_usage(database, user_id=user_id, cost_micros=cost_micros, **place)


async def test_a_note_says_what_was_spent_and_is_left_and_is_sent_once_over_replicas(database: Database) -> None:
    mia, since_ms = await person(database, "mia"), await last_week(database)
    await set_limits(database, ZONE, ScopeRef("user", mia.user_id), None, [LimitChange("micros", "month", 50 * YUAN)])
    await use(database, mia.user_id, since_ms + HOUR_MS, 3 * YUAN)
    await use(database, "user-other", since_ms + HOUR_MS, 90 * YUAN)
    await use(database, mia.user_id, since_ms - HOUR_MS, 700 * YUAN)  # The week before.
    for number, cost in ((1, 1), (2, 2)):
        given = {"id": f"req_{number}", "state": "settled", "cost_micros": cost * YUAN, "images": 1}
        await insert_request(database, mia.user_id, "key_1", reserved_at_ms=since_ms + HOUR_MS, size="1x1", **given)
    async with mail_server() as server:
        await set_note(database, notifier(server), mia, "mail", "", "en", ZONE)
        now_ms = await database.now_ms()
        assert await notes(database, server).turn() == 0
        await make_due(database)

        tried = await asyncio.gather(*(notes(database, server).turn() for _ in range(4)))
        assert await notes(database, server).turn() == 0

    assert (sum(tried), server.recipients) == (1, ["mia@example.com"])
    [mail] = server.mails
    text = mail.get_content()
    assert "You spent 3.00 CNY on 1 images in 1 requests." in text
    assert "you have 50.00 CNY left" in text
    assert "The dearest request: 2.00 CNY, gpt-image-1 1x1" in text and "req_2" in text
    assert "https://images.example.com/console/usage" in text
    assert "Everybody" not in text and "90" not in text
    kept = await database.ask(find_subscription, mia.user_id)
    assert kept is not None and kept.due_at_ms == bounds_ms("week", now_ms, ZONE)[1] + SENT_AT_MS  # type: ignore[operator]


async def test_an_owner_reads_the_pace_what_was_unusual_and_the_drift_in_their_language(database: Database) -> None:
    olga, since_ms = await person(database, "olga", "owner"), await last_week(database)
    limit = [LimitChange("micros", "month", 1000 * YUAN)]
    await set_limits(database, ZONE, ScopeRef("organization", ""), None, limit)
    for number in range(40):
        await use(database, olga.user_id, since_ms - (number % 20 + 1) * DAY_MS + number * HOUR_MS // 20, YUAN)
    await use(database, olga.user_id, since_ms + 2 * DAY_MS, 55 * YUAN)
    await use(database, "user-new", since_ms + DAY_MS, 99 * YUAN)  # Nobody knows what is usual for them.
    day = local_day(since_ms, ZONE)
    await save_drift(database, [DriftRow("default", day, "gpt-image-1", 5 * YUAN, 7 * YUAN, 0, 1)])
    async with mail_server() as server:
        await set_note(database, notifier(server), olga, "mail", "", "zh", ZONE)
        await make_due(database)
        await notes(database, server).turn()

    text = server.mails[0].get_content()
    assert "全体共花费 154.00 CNY" in text
    assert "本月限额为 1000.00 CNY" in text
    assert "异常：olga" in text and "花费 55.00 CNY" in text and "user-new" not in text
    assert "中转站账单与账本相差 +2.00 CNY" in text


async def test_a_mail_that_is_refused_is_tried_again_and_given_up_until_the_next_week(database: Database) -> None:
    mia = await person(database, "mia")
    async with mail_server() as server:
        server.refuses = True
        await set_note(database, notifier(server), mia, "mail", "", "en", ZONE)
        now_ms = await database.now_ms()
        for attempt in range(5):
            await make_due(database)
            assert await notes(database, server).turn() == 1
            kept = await database.ask(find_subscription, mia.user_id)
            assert kept is not None and kept.error is not None and "554" in kept.error
            assert (kept.due_at_ms > bounds_ms("week", now_ms, ZONE)[1]) == (attempt == 4)  # type: ignore[operator]
        server.refuses = False
        await make_due(database)
        await notes(database, server).turn()

    kept = await database.ask(find_subscription, mia.user_id)
    assert kept is not None and (kept.error, len(server.mails)) == (None, 1)


async def test_nobody_who_is_disabled_or_turned_it_off_gets_one(database: Database) -> None:
    mia, max_ = await person(database, "mia"), await person(database, "max")
    async with mail_server() as server:
        for each in (mia, max_):
            await set_note(database, notifier(server), each, "mail", "", "en", ZONE)
        await set_note(database, notifier(server), mia, "off", "", "en", ZONE)
        async with database.transaction() as connection:
            await connection.execute(sa.update(users).where(users.c.id == max_.user_id).values(disabled_at_ms=1))
        await make_due(database)
        assert await notes(database, server).turn() == 0
    assert server.mails == [] and await database.ask(find_subscription, mia.user_id) is None


async def test_a_way_that_cannot_deliver_is_refused(database: Database) -> None:
    mia = await person(database, "mia")
    for way, url in (("mail", ""), ("chat", "https://example.com/hook"), ("chat", "")):
        with pytest.raises(InvalidValue):
            await set_note(database, Notifier(), mia, way, url, "en", ZONE)  # type: ignore[arg-type]
    assert await database.ask(find_subscription, mia.user_id) is None


def test_both_languages_have_the_same_sentences() -> None:
    def fields(text: str) -> set[str | None]:
        return {field for _, field, _, _ in Formatter().parse(text) if field}

    assert {name: fields(text) for name, text in TEXTS["en"].items()} == {
        name: fields(text) for name, text in TEXTS["zh"].items()
    }
