"""A change of the secret: nobody notices, and it is known when it is over."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.control.admin_keys import NewAdminKey, create_admin_key
from app.control.doctor_secret import check_secret_change
from app.control.installation import claim
from app.control.pepper import Peppers, fingerprint
from app.control.relay_keys import is_readable
from app.control.relays import RelayChange, change_relay, create_relay, get_relay
from app.errors import ConfigurationError
from app.sandbox import RunningSandbox
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.tables import api_keys, organization
from tests.administration import PEPPER
from tests.databases import insert_request
from tests.gateways import RELAY_KEY, book, new_key, running_gateway
from tests.money.books import ask, opened, until

NEW = b"the next pepper of the tests, long enough"
BOOK = ("CNY", "Asia/Shanghai")


async def test_a_book_is_bound_to_the_new_secret_only_beside_the_old_one(database: Database) -> None:
    first = await claim(database, Peppers(PEPPER), *BOOK)
    assert await stored_digest_key(database) == b"\x00", "a start would have to decrypt it, and load cryptography"
    assert await claim(database, Peppers(PEPPER), *BOOK) == first and len(first) == 32
    with pytest.raises(ConfigurationError, match="IMAGEGATE_SECRET_KEY_OLD"):
        await claim(database, Peppers(NEW), *BOOK)

    second = await claim(database, Peppers(NEW, PEPPER), *BOOK)

    assert first == second, "digests of prompts could not be compared any more"
    assert await claim(database, Peppers(NEW), *BOOK) == first
    with pytest.raises(ConfigurationError):
        await claim(database, Peppers(PEPPER), *BOOK)
    async with database.read() as connection:
        logged = (await connection.exec_driver_sql("SELECT event FROM audit_logs")).scalars().all()
    assert first not in await stored_digest_key(database) and logged.count("organization.updated") == 1


async def stored_digest_key(database: Database) -> bytes:
    async with database.read() as connection:
        return bytes((await connection.execute(sa.select(organization.c.digest_key))).scalar_one())


async def test_digests_of_a_book_from_before_its_digest_key_stay_comparable(database: Database) -> None:
    async with database.transaction() as connection:
        known = {"pepper_fingerprint": fingerprint(PEPPER), "currency": BOOK[0], "timezone": BOOK[1]}
        await connection.execute(sa.update(organization).values(**known, digest_key=None))
    await insert_request(database, "user-1", "key_1")

    assert await claim(database, Peppers(NEW, PEPPER), *BOOK) == PEPPER


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"pepper": NEW, "secret_key_old": PEPPER.decode()}


async def test_keys_and_links_work_on_and_keys_move_when_they_are_used(
    tmp_path: Path, relay: RunningSandbox, settings: dict[str, Any]
) -> None:
    async with running_gateway(tmp_path, relay.base_url) as before:
        key, idle = await before.key("lin"), await before.key("mei")
        admin = await create_admin_key(before.database, PEPPER, NewAdminKey("ci"))
        async with opened(before.url, key.key) as client:
            bought = await ask(client, "a cat", response_format="url")
    link = httpx2.URL(bought.json()["data"][0]["url"])

    async with running_gateway(tmp_path, relay.base_url, **settings) as during:
        database = during.database
        assert (await check_secret_change(database, Peppers(NEW, PEPPER))).message.startswith("It is being changed: 3")
        async with opened(during.url, key.key) as client:
            assert (await client.get(str(link.raw_path.decode()))).status_code == 200
            again = await ask(client, "a cat", response_format="url")
            assert again.status_code == 200
            assert (await client.get("/v1/organization/projects", headers=bearer(admin.key))).status_code == 200
        await until(lambda: has_moved(database, key.id))
        left = await check_secret_change(database, Peppers(NEW, PEPPER))
        assert left.message.startswith("It is being changed: 1 ")
        first, second = await book(database)
        assert first["prompt_hmac"] == second["prompt_hmac"] and second["duplicate_of"] == f"{first['id']}_0"

    async with running_gateway(tmp_path, relay.base_url, pepper=NEW) as after:
        async with opened(after.url, key.key) as client:
            assert (await ask(client)).status_code == 200
            assert (await client.get("/v1/organization/projects", headers=bearer(admin.key))).status_code == 200
        async with opened(after.url, idle.key) as client:
            assert (await ask(client)).status_code == 401
        finding = await check_secret_change(after.database, Peppers(NEW))
        assert finding.message.startswith("1 keys were made with an earlier secret")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def has_moved(database: Database, key_id: str) -> bool:
    async with database.read() as connection:
        its = sa.select(api_keys.c.pepper_fingerprint).where(api_keys.c.id == key_id)
        return bool((await connection.execute(its)).scalar_one() == fingerprint(NEW))


async def test_replicas_with_the_secrets_the_other_way_round_accept_the_same_keys(
    tmp_path: Path, relay: RunningSandbox, settings: dict[str, Any]
) -> None:
    """The roll-out in between: those that have not restarted yet make and accept keys, too."""
    async with (
        running_gateway(tmp_path, relay.base_url, secret_key_old=NEW.decode()) as old,
        opened(old.url) as client,
    ):
        made_before = await old.key("lin")
        where = DatabaseUrl.of(None, tmp_path)
        database = open_database(where)
        await claim(database, Peppers(NEW, PEPPER), *BOOK)
        made_after = await new_key(database, "mei", pepper=NEW)
        await database.close()
        for key in (made_before, made_after):
            assert (await client.get("/v1/key", headers=bearer(key.key))).status_code == 200


async def test_the_keys_of_relays_are_read_with_the_new_secret_only(
    tmp_path: Path, relay: RunningSandbox, settings: dict[str, Any]
) -> None:
    """The relay of the settings gets nothing, so that the other one has to work."""
    other = RelayChange(relay.base_url, RELAY_KEY)
    async with running_gateway(tmp_path, relay.base_url) as before:
        key = await before.key("lin")
        await create_relay(before.database, PEPPER, "second", other)
        await change_relay(before.database, None, "default", RelayChange(disabled=True))

    async with running_gateway(tmp_path, relay.base_url, **settings) as during, opened(during.url, key.key) as client:
        assert (await ask(client)).status_code == 200

    async with running_gateway(tmp_path, relay.base_url, pepper=NEW) as after, opened(after.url, key.key) as client:
        assert (await ask(client)).status_code == 200
        second = await after.database.ask(get_relay, "second")
        assert is_readable(Peppers(NEW), second) and not is_readable(Peppers(PEPPER), second)
        assert "reads the keys" not in (await check_secret_change(after.database, Peppers(NEW))).message
        await change_relay(after.database, PEPPER, "second", other)
        both = await check_secret_change(after.database, Peppers(NEW, PEPPER))
        assert both.message.startswith("Only IMAGEGATE_SECRET_KEY_OLD reads the keys of relays (second).")
        neither = await check_secret_change(after.database, Peppers(NEW))
        assert neither.message.startswith("It does not read the keys of relays (second): they get no requests.")
