"""Erasure of a person: nothing of them is left in the files, and nothing of the money is gone."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.control import usage
from app.control.alerts import AlertFilter, NewAlert, create_alert, page_of_alerts
from app.control.audit import audit
from app.control.deletion import delete_user
from app.control.erasure import GRACE_MS, Erasure
from app.control.keys import change_key, get_key
from app.control.limits import ScopeRef
from app.control.people import UserChange, modify_user
from app.core.actors import Actor
from app.core.alerts import Channel
from app.errors import NotFound
from app.pictures.administration import PictureAdministration
from app.store.audit_logs import Change, log_changes
from app.store.pages import Cursor
from app.store.picture_lists import OrganizationViewer, PictureFilter
from app.store.tables import audit_logs, metadata, pictures, users
from tests.held import HELD, answering
from tests.images.client import LARGE, Client

NewClient = Callable[[str], Awaitable[Client]]
PROMPT = "a very secret lighthouse of Zebedee"
NAME, MAIL = "Zebedee Q", "zebedee.q@example.org"
ADMIN = Actor("admin_api_key", "key_admin", "the administrator", None)


def erasure_of(client: Client) -> Erasure:
    return client.gateway.gateway.erasure(client.gateway.database.by(ADMIN))


async def everything(client: Client) -> bytes:
    """All bytes of the data directory and, on PostgreSQL, of all rows."""
    found = bytearray()
    async with client.gateway.database.read() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(sa.select(table)):
                found += "\n".join(map(str, row)).encode()
    folder = client.gateway.gateway.data_dir
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found += path.name.encode() + path.read_bytes()
    return bytes(found)


async def use(client: Client) -> str:
    """Do what leaves traces of a person; returns one of their pictures in base64."""
    gateway = client.gateway.gateway
    mine = gateway.database.by(ADMIN)
    await modify_user(mine, NAME, UserChange(email="old.zebedee@example.org", name="Young Zebedee"))
    async with mine.write() as connection:
        key = await get_key(connection, client.key.id)
        await change_key(connection, await change_key(connection, key, name="my lighthouse laptop"), name=key.name)
    await modify_user(mine, "Young Zebedee", UserChange(email=MAIL, name=NAME))
    administration = PictureAdministration(gateway.library, mine, None, OrganizationViewer(may_open=True))
    for asked in ({"words": "lighthouse of Zebedee"}, {"words": "secret Zebedee", "user": NAME}):
        await administration.page(Cursor(limit=1), PictureFilter(), asked)
    reason = Change("request.settle", "req_1", {"state": "unknown"}, {"reason": f"{NAME} showed me the picture"})
    async with mine.transaction() as connection:
        await log_changes(
            connection, Change("pictures.listed", "pictures", None, {"words": "of mia", "user": "mia"}), reason
        )
    await client.gateway.limit("user", NAME, "images", "day", 50)
    channels = (Channel("email", (MAIL, "other@example.org")), Channel("email", (MAIL,)))
    await create_alert(mine, gateway.notifier, NewAlert(ScopeRef("user", NAME), "micros", "day", 10_000, channels))
    answer = await client.ask(LARGE | {"prompt": PROMPT, "n": 2}, key="the-key-of-zebedee")
    await client.ask(LARGE | {"prompt": PROMPT})
    await client.ask({"model": "seedream-3.0", "prompt": PROMPT})
    refused = await client.ask(
        LARGE
        | {"prompt": f"{PROMPT} [[sandbox status=400 code=content_policy_violation message=Zebedee_is_not_allowed]]"}
    )
    await client.ask({"model": "model-of-Zebedee", "prompt": PROMPT})
    await client.gateway.limit("user", NAME, "images", "day", 0)
    limited = await client.ask(LARGE | {"prompt": PROMPT})
    assert (answer.status_code, limited.status_code, NAME in limited.text) == (200, 429, True), refused.text
    await gateway.taking.take_all()
    await gateway.chores.run_once("refusals")
    return str(answer.json()["data"][0]["b64_json"])


@pytest.mark.both
async def test_nothing_of_a_person_is_left_in_the_files_and_the_money_stays(new_client: NewClient) -> None:
    client, other = await new_client(NAME), await new_client("mia")
    picture = await use(client)
    kept = await other.ask(LARGE)
    await client.gateway.gateway.taking.take_all()
    traces = [PROMPT.encode(), NAME.encode(), MAIL.encode(), b"Zebedee", b"the-key-of-zebedee", b"my lighthouse laptop"]
    traces += [b"old.zebedee@example.org", b"Young Zebedee", b"lighthouse of Zebedee"]
    traces.append(base64.b64decode(picture)[:500])
    before = await everything(client)
    totals = (await usage.report(client.gateway.database, ["model", "day"])).rows
    user_id = (await client.gateway.database.ask(get_key, client.key.id)).user_id

    report = await erasure_of(client).erase(NAME)

    assert [trace for trace in traces if trace not in before] == []
    after = await everything(client)
    assert [trace for trace in traces if trace.lower() in after.lower()] == []
    assert b"of mia" in after and b"showed me the picture" in after
    left = report.left
    assert (left.requests, left.answers, left.pictures, left.keys, report.has_more) == (0, 0, 0, 0, False)
    assert (await usage.report(client.gateway.database, ["model", "day"])).rows == totals
    assert (await audit(client.gateway.database, client.gateway.gateway.zone)).differences == ()
    by_user = {row.names[0] for row in (await usage.report(client.gateway.database, ["user"])).rows}
    assert (report.pseudonym, user_id) in by_user
    async with client.gateway.database.read() as connection:
        lines = (await connection.execute(sa.select(audit_logs).where(audit_logs.c.event == "user.erased"))).all()
    assert [(line.actor_name, line.target_id, line.after) for line in lines] == [
        ("the administrator", user_id, {"name": report.pseudonym})
    ]
    assert (await client.ask(LARGE)).status_code == 401
    shown = await other.get(f"/v1/images/pictures/{kept.headers['x-request-id']}_0/content")
    assert shown.status_code == 200
    assert [alert.channels[0].recipients for alert in (await list_alerts_of(client))] == [("other@example.org",)]


async def list_alerts_of(client: Client) -> Any:
    page = await page_of_alerts(client.gateway.database, Cursor(limit=100), AlertFilter())
    return page.records


@pytest.mark.both
async def test_an_erasure_that_dies_is_finished_by_the_next_call_or_the_chore(new_client: NewClient) -> None:
    client = await new_client(NAME)
    await use(client)
    await client.gateway.gateway.chores.stop()  # One of them would finish it five seconds after the start.
    erasure = erasure_of(client)

    class Killed(Exception):
        pass

    async def die(_ids: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        await replace(erasure, remove_pictures=die).erase(NAME)
    halfway = await erasure.preview(NAME)
    stopped = await erasure.erase(NAME, 0)
    client.gateway.gateway.control_data.expire()
    refused = await client.ask(LARGE | {"prompt": PROMPT})
    await erasure.turn()
    async with client.gateway.database.transaction() as connection:
        begun_ms = (
            await connection.execute(sa.select(users.c.erased_at_ms).where(users.c.id == halfway.user.id))
        ).scalar_one()
        before = sa.update(users).where(users.c.id == halfway.user.id).values(erased_at_ms=begun_ms - GRACE_MS)
        await connection.execute(before)
    early = await erasure.preview(halfway.user.id)
    await erasure.turn()
    done = await erasure.preview(halfway.pseudonym)

    assert (halfway.left.requests, halfway.left.pictures > 0, halfway.user.name) == (0, True, NAME)
    assert (stopped.has_more, refused.status_code) == (True, 401)
    assert (early.user.name, early.user.erasure_ended_at_ms) == (halfway.pseudonym, None)
    assert done.user.erasure_ended_at_ms is not None
    assert b"zebedee" not in (await everything(client)).lower()


@pytest.mark.both
async def test_what_is_under_way_then_is_sent_to_its_client_and_not_kept(new_client: NewClient) -> None:
    client = await new_client(NAME)
    slow = asyncio.create_task(client.ask(LARGE | {"prompt": f"{PROMPT} {HELD}"}))
    while not [row for row in await client.gateway.rows() if row["state"] == "dispatched"]:
        await asyncio.sleep(0.01)

    during = await erasure_of(client).erase(NAME)
    with answering(client.relay):
        answer = await slow
    await client.gateway.gateway.taking.take_all()
    async with client.gateway.database.read() as connection:
        kept = (await connection.execute(sa.select(pictures.c.id))).all()
    after = await erasure_of(client).erase(during.user.id)

    assert (during.left.open, answer.status_code, kept) == (1, 200, [])
    assert (after.left.answers, after.left.requests) == (0, 0)
    picture = base64.b64decode(answer.json()["data"][0]["b64_json"])
    found = await everything(client)
    assert [trace for trace in (b"Zebedee", picture[:500]) if trace in found] == []
    assert [row["state"] for row in await client.gateway.rows()] == ["settled"]


async def test_a_deleted_person_is_erased_and_nobody_else_is(new_client: NewClient) -> None:
    client = await new_client(NAME)
    await use(client)
    await delete_user(client.gateway.database, NAME)

    report = await erasure_of(client).erase(NAME)

    assert report.user.name == report.pseudonym
    assert b"zebedee" not in (await everything(client)).lower()
    with pytest.raises(NotFound, match="no person 'nobody'"):
        await erasure_of(client).preview("nobody")


@pytest.mark.both
async def test_a_picture_that_is_being_taken_then_is_in_no_file(new_client: NewClient) -> None:
    client, other = await new_client(NAME), await new_client("mia")
    gateway = client.gateway.gateway
    await gateway.chores.stop()
    answers = [await client.ask(LARGE | {"prompt": PROMPT}), await other.ask(LARGE)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    read = [await gateway.taking._read(each) for each in await gateway.taking.rows.untaken_of(ids)]

    await erasure_of(client).erase(NAME)
    await gateway.taking._record([each for each in read if each is not None])

    async with client.gateway.database.read() as connection:
        kept = (await connection.execute(sa.select(pictures.c.request_id, pictures.c.digest))).all()
    assert [row.request_id for row in kept] == [ids[1]]
    assert [path.name for path in (gateway.data_dir / "pictures").iterdir() if path.is_file()] == [kept[0].digest]


@pytest.mark.both
async def test_a_picture_that_was_stored_and_not_recorded_goes_too(new_client: NewClient) -> None:
    client, other = await new_client(NAME), await new_client("mia")
    gateway = client.gateway.gateway
    await gateway.chores.stop()
    for each in (client, other):
        await each.ask(LARGE | {"prompt": f"{PROMPT} {each.key.id}"})
    answers = await gateway.taking.rows.untaken(2**62, 10)
    for answer in answers:  # As far as a process comes that is killed at `after_picture`.
        read = await gateway.taking._read(answer)
        assert read is not None
        await gateway.taking.storing.store(read)
        read.close()

    await erasure_of(client).erase(NAME)
    await gateway.taking.take_all()

    async with client.gateway.database.read() as connection:
        kept = list((await connection.execute(sa.select(pictures.c.digest))).scalars())
    assert [path.name for path in (gateway.data_dir / "pictures").iterdir() if path.is_file()] == kept
    assert len(kept) == 1


def test_every_table_with_an_owner_is_known_to_the_erasure() -> None:
    """A new table with a column of users has to be erased, or to be without anything of a person; then it is named here."""
    owned = {table.name for table in metadata.sorted_tables if {"user_id", "email", "recipient"} & set(table.c.keys())}

    erased = {
        "users",
        "api_keys",
        "admin_api_keys",
        "requests",
        "refusal_log",
        "pictures",
        "limit_increases",
        "weekly_notes",
    }
    deleted_with_the_person = {"project_users", "sessions", "invitations", "identities", "passwords"}
    only_ids = {"usage", "usage_series"}
    assert owned == erased | deleted_with_the_person | only_ids
