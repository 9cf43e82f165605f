"""Invitations, passwords, sessions and roles, on both databases."""

import asyncio
import time

import pytest
import sqlalchemy as sa
from alembic import command

from app.control import invitations, passwords, sessions
from app.control.deletion import delete_user
from app.control.invitations import accept_invitation, invite
from app.control.people import UserChange, create_user, modify_user, show_user
from app.core.browsers import is_own_request, session_cookie
from app.errors import Conflict, InvalidValue, NotFound
from app.store import migrations
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.migrations import upgrade
from app.store.pages import Cursor
from app.store.sign_in import insert_identity
from app.store.tables import audit_logs, users
from app.store.tables import identities as identity_rows
from app.store.tables import invitations as invitation_rows
from app.store.tables import passwords as password_rows
from app.store.tables import sessions as session_rows

PASSWORD = "correct horse battery"
MAIL = "lin@example.com"


async def signed_in(database: Database, email: str = MAIL, role: str | None = None) -> sessions.NewSession:
    return await accept_invitation(database, (await invite(database, email, role)).token, PASSWORD, "a browser")


async def test_a_link_works_once_and_looking_does_not_use_it_up(database: Database) -> None:
    link = await invite(database, "Lin@Example.com")

    for _ in range(2):
        assert (await invitations.open_invitation(database, link.token)).email == MAIL
    results = await asyncio.gather(
        *(accept_invitation(database, link.token, PASSWORD, "a browser") for _ in range(4)), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["NewSession", "NotFound", "NotFound", "NotFound"]
    with pytest.raises(NotFound):
        await invitations.open_invitation(database, link.token)


async def test_a_person_without_an_address_is_invited_by_name(database: Database) -> None:
    lin = await create_user(database, "lin")

    link = await invite(database, MAIL, "owner", "lin")

    found = await invitations.open_invitation(database, link.token)
    assert (found.user_id, found.email, found.access_role) == (lin.id, MAIL, "owner")
    with pytest.raises(Conflict, match="signs in as"):
        await invite(database, "other@example.com", name="lin")
    await invite(database, "bo@example.com", name="Bo")
    assert (await show_user(database, "Bo"))[0].email == "bo@example.com"
    with pytest.raises(Conflict, match="is that of the user 'Bo'"):
        await invite(database, "bo@example.com", "owner", "lin")
    assert (await invite(database, "bo@example.com", name="Bo")).user_name == "Bo"


async def test_nobody_is_known_by_the_address_before_its_at(database: Database) -> None:
    lin = await create_user(database, "lin")

    link = await invite(database, MAIL)
    again = await invite(database, MAIL)

    assert (link.user_name, link.is_new_user, link.namesake) == ("lin 2", True, "lin")
    assert (again.user_name, again.is_new_user, again.namesake) == ("lin 2", False, None)
    assert (await show_user(database, lin.id))[0].email is None
    assert (await invite(database, "lin@elsewhere.example")).namesake == "lin"
    await invite(database, "first@example.com", name="lin")
    assert (await invite(database, "lin@other.example")).namesake is None  # Who has an address is no puzzle.


async def test_a_newer_link_a_deleted_one_and_an_old_one_end_it(database: Database) -> None:
    first = await invite(database, MAIL)
    second = await invite(database, MAIL)
    with pytest.raises(NotFound):
        await invitations.open_invitation(database, first.token)
    await invitations.delete_invitation(database, second.id)
    third = await invite(database, MAIL)
    async with database.transaction() as connection:
        await connection.execute(sa.text("UPDATE invitations SET expires_at_ms = 1"))

    for link in (second, third):
        with pytest.raises(NotFound):
            await accept_invitation(database, link.token, PASSWORD, "a browser")


async def test_a_session_ends_when_it_is_idle_old_revoked_or_its_person_disabled(database: Database) -> None:
    now_ms = await database.now_ms()
    session = await signed_in(database)
    found = await sessions.session_of(database, session.token, now_ms)
    assert found is not None and (found.name, found.access_role) == ("lin", "member")

    assert await sessions.session_of(database, session.token, now_ms + sessions.IDLE_MS + 60_000) is None
    for hours in range(11, 14 * 24, 11):  # Used all the time.
        assert await sessions.session_of(database, session.token, now_ms + hours * 3_600_000) is not None
    assert await sessions.session_of(database, session.token, now_ms + sessions.LIFE_MS + 60_000) is None
    other = await sessions.sign_in(database, " LIN@example.com", PASSWORD, "another")
    assert other is not None
    await modify_user(database, "lin", UserChange(disabled=True))
    assert await sessions.session_of(database, other.token, now_ms) is None
    assert await sessions.sign_in(database, MAIL, PASSWORD, "another") is None
    await modify_user(database, "lin", UserChange(disabled=False))
    assert await sessions.session_of(database, other.token, now_ms) is None
    other = await sessions.sign_in(database, MAIL, PASSWORD, "another")
    assert other is not None
    await sessions.revoke_session(database, other.id)
    assert await sessions.session_of(database, other.token, now_ms) is None
    with pytest.raises(NotFound):
        await sessions.revoke_session(database, other.id)


async def test_no_secret_is_stored(database: Database) -> None:
    link = await invite(database, MAIL)
    session = await accept_invitation(database, link.token, PASSWORD, "a browser")

    async with database.read() as connection:
        for table in ("invitations", "sessions", "passwords", "audit_logs"):
            stored = repr((await connection.execute(sa.text(f"SELECT * FROM {table}"))).all())  # noqa: S608
            assert not any(secret in stored for secret in (link.token, session.token, PASSWORD)), table


async def test_a_new_password_ends_the_other_sessions(database: Database) -> None:
    first, now_ms = await signed_in(database), await database.now_ms()
    second = await sessions.sign_in(database, MAIL, PASSWORD, "another")
    assert second is not None
    mine = await sessions.session_of(database, second.token, now_ms)
    assert mine is not None
    with pytest.raises(InvalidValue):
        await sessions.change_password(database, mine, "not this one", "another password")

    await sessions.change_password(database, mine, PASSWORD, "another password")

    assert await sessions.session_of(database, first.token, now_ms) is None
    assert await sessions.session_of(database, second.token, now_ms) is not None
    assert await sessions.sign_in(database, MAIL, PASSWORD, "another") is None
    listed = await sessions.page_of_sessions(database, Cursor(), "lin")
    assert [session.id for session in listed.records] == [second.id]


async def test_the_last_owner_stays_one(database: Database) -> None:
    await signed_in(database, role="owner")
    await invite(database, "bo@example.com", "owner")  # Who has not signed in yet cannot take over.

    for change in (UserChange(access_role="member"), UserChange(disabled=True)):
        with pytest.raises(Conflict, match="last owner"):
            await modify_user(database, "lin", change)
    with pytest.raises(Conflict, match="last owner"):
        await delete_user(database, "lin")
    with pytest.raises(Conflict, match="last owner"):
        await invite(database, MAIL, "reader")
    await signed_in(database, "bo@example.com")
    both = await asyncio.gather(
        *(modify_user(database, name, UserChange(access_role="member")) for name in ("lin", "bo")),
        return_exceptions=True,
    )

    assert sorted(type(result).__name__ for result in both) == ["Conflict", "User"]


async def test_an_address_is_one_persons(database: Database) -> None:
    await create_user(database, "lin", "Lin@Example.com")
    assert (await show_user(database, "lin"))[0].email == MAIL

    with pytest.raises(Conflict, match="'lin' has the e-mail address"):
        await create_user(database, "bo", "LIN@example.com")
    bo = await create_user(database, "bo")
    with pytest.raises(Conflict):
        await modify_user(database, bo.id, UserChange(email=MAIL))
    await delete_user(database, "lin")
    assert (await modify_user(database, bo.id, UserChange(email=MAIL))).email == MAIL


async def test_after_the_upgrade_everybody_is_a_member_and_has_an_address_alone(empty_where: DatabaseUrl) -> None:
    database = open_database(empty_where)
    async with database.rebuild() as connection:
        await connection.run_sync(lambda sync: command.upgrade(migrations._config(connection=sync), "0023"))
    async with database.transaction() as connection:
        for number, (email, at_ms) in enumerate([("A@x.de", 2), ("a@X.de", 1), ("b@x.de", 3), (None, 4)]):
            row = f"('user-{number}', 'user {number}', {(email and repr(email)) or 'NULL'}, {at_ms}, 'owner')"
            await connection.execute(
                sa.text(f"INSERT INTO users (id, name, email, created_at_ms, role) VALUES {row}")  # noqa: S608
            )

    await upgrade(database)

    async with database.read() as connection:
        found = (await connection.execute(sa.select(users.c.email, users.c.access_role).order_by(users.c.id))).all()
        logged = (await connection.execute(sa.select(audit_logs.c.target_id, audit_logs.c.before))).all()
    assert [tuple(row) for row in found] == [
        (None, "member"),
        ("a@x.de", "member"),
        ("b@x.de", "member"),
        (None, "member"),
    ]
    assert [tuple(row) for row in logged] == [("user-0", {"email": "a@x.de"})]
    await database.close()


async def test_somebody_unknown_takes_as_long_as_a_wrong_password(database: Database) -> None:
    await signed_in(database)
    await sessions.sign_in(database, "nobody@example.com", "warm up", "a browser")

    async def least_s(email: str) -> float:
        found = []
        for _ in range(5):
            started_s = time.process_time()
            assert await sessions.sign_in(database, email, "not the password", "a browser") is None
            found.append(time.process_time() - started_s)
        return min(found)

    known_s, unknown_s = await least_s(MAIL), await least_s("nobody@example.com")
    assert 0.5 < unknown_s / known_s < 2, (known_s, unknown_s)


async def test_a_password_has_a_length(database: Database) -> None:
    link = await invite(database, MAIL)

    for password in ("short", "x" * (passwords.CHARS_MAX + 1)):
        with pytest.raises(InvalidValue):
            await accept_invitation(database, link.token, password, "a browser")
    assert await passwords.is_password(None, "the password of nobody") is False


async def test_a_deleted_person_leaves_nothing_to_sign_in_with(database: Database) -> None:
    session = await signed_in(database)
    await invite(database, MAIL)
    async with database.transaction() as connection:
        await insert_identity(connection, "https://login.example.com", "42", session.user_id, 1)

    await delete_user(database, "lin")

    async with database.read() as connection:
        for table in (session_rows, invitation_rows, password_rows, identity_rows):
            assert (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() == 0


async def test_sessions_that_ended_long_ago_are_deleted(database: Database) -> None:
    await signed_in(database)
    async with database.transaction() as connection:
        await connection.execute(sa.update(session_rows).values(created_at_ms=1))

    await sessions.sign_in(database, MAIL, PASSWORD, "a browser")

    async with database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(session_rows))).scalar_one() == 1


HTTPS = "https://images.example.com/gateway"


@pytest.mark.parametrize(
    ("public_url", "headers", "ours"),
    [
        (HTTPS, {"sec-fetch-site": "same-origin", "origin": "https://images.example.com"}, True),
        (HTTPS, {"sec-fetch-site": "none"}, True),
        (HTTPS, {"sec-fetch-site": "cross-site", "origin": "https://images.example.com"}, False),
        (HTTPS, {"sec-fetch-site": "same-site", "origin": "https://images.example.com"}, False),
        (HTTPS, {"origin": "https://images.example.com"}, True),
        ("https://images.example.com:443", {"origin": "https://images.example.com"}, True),
        (HTTPS, {"origin": "http://images.example.com"}, False),
        (HTTPS, {"origin": "https://evil.example", "host": "evil.example"}, False),
        (HTTPS, {"origin": "null"}, False),
        (HTTPS, {"host": "images.example.com"}, False),
        (None, {"origin": "http://gw.lan:8000", "host": "GW.lan:8000"}, True),
        (None, {"origin": "https://gw.lan", "host": "gw.lan"}, True),
        (None, {"origin": "http://evil.example", "host": "gw.lan:8000"}, False),
        (None, {"origin": "http://gw.lan", "host": "gw.lan:8000"}, False),
        (None, {"origin": "null", "host": "null"}, False),
        (None, {"host": "gw.lan:8000"}, False),
        (None, {"origin": ""}, False),
    ],
)
def test_only_requests_of_our_own_pages_may_change_something(
    public_url: str | None, headers: dict[str, str], ours: bool
) -> None:
    assert is_own_request(headers, public_url) is ours


def test_the_cookie_is_bound_to_the_host_where_browsers_take_that() -> None:
    assert [session_cookie(url) for url in (HTTPS, "http://gw.lan", None)] == [
        "__Host-imagegate",
        "imagegate",
        "imagegate",
    ]
