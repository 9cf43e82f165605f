"""Prices end and models go; what they may price, or have priced, stays as it was."""

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control import model_aliases, models, prices, usage
from app.control.model_aliases import AliasChange
from app.control.price_files import read_document, write_document
from app.control.price_import import import_prices
from app.control.prices import PriceEntry
from app.control.removal import end_price, remove_model
from app.core.pricing import PerImage
from app.errors import Conflict, NotFound
from app.store import prices as store
from app.store.engine import Database, block_reservations
from app.store.ledger.types import Stale
from app.store.tables import audit_logs, requests
from tests.databases import insert_request, insert_usage
from tests.store.purchasing import Desk, open_ledger

ZONE = ZoneInfo("Asia/Shanghai")
MODEL = "gpt-image-1"
AHEAD_MS = 4_000_000_000_000


async def set_price(database: Database, model: str = MODEL, **given: Any) -> str:
    """Set a mistyped price; returns its id."""
    listed = await prices.set_price(database, ZONE, PriceEntry(model, PerImage(99), **given))
    assert listed.price is not None
    return f"price_{listed.price.id}"


async def in_force(database: Database, model: str = MODEL) -> list[PerImage]:
    return [row.price.amount for row in await prices.list_prices(database) if row.model == model and row.in_force]  # type: ignore[union-attr, misc]


async def open_request(database: Database, **given: Any) -> None:
    await insert_request(database, "user-1", "key_1", **{"reserved_at_ms": AHEAD_MS, "model": MODEL, **given})


async def test_a_removed_price_ends_now_and_the_one_before_is_in_force_again(database: Database) -> None:
    id = await set_price(database)
    before_ms = await database.now_ms()

    ended = await end_price(database, id)

    assert await in_force(database) == [PerImage(1_000_000)]
    assert ended.price is not None and ended.price.until_ms is not None and ended.price.until_ms > before_ms
    async with database.read() as connection:
        book = (await store.read_catalog(connection)).models[MODEL].prices
    assert [price.id for price in book.at(ended.price.until_ms - 1)] == [ended.price.id]
    assert [price.amount for price in book.at(ended.price.until_ms)] == [PerImage(1_000_000)]
    assert PerImage(99) in [row.price.amount for row in await prices.list_prices(database) if row.price]
    with pytest.raises(Conflict, match="ended already"):
        await end_price(database, id)


async def test_a_price_that_has_not_begun_never_begins(database: Database) -> None:
    id = await set_price(database, starts="2098-01-01")

    await end_price(database, id)

    async with database.read() as connection:
        book = (await store.read_catalog(connection)).models[MODEL].prices
    assert [price.amount for price in book.at(AHEAD_MS + 10**12)] == [PerImage(1_000_000)]


@pytest.mark.parametrize("state", ["reserved", "dispatched", "unknown"])
async def test_nothing_is_removed_while_a_request_that_it_may_price_is_open(database: Database, state: str) -> None:
    id = await set_price(database, "typo")
    await open_request(database, state=state, model="typo")

    for removal in (end_price(database, id), remove_model(database, "typo")):
        with pytest.raises(Conflict, match=rf"1 requests .* \(1 {state}\)") as refused:
            await removal
        assert ("requests list --state unknown" in refused.value.message) == (state == "unknown")
    assert await in_force(database, "typo") == [PerImage(99)]


@pytest.mark.parametrize(
    "other",
    [{"state": "settled"}, {"state": "released"}, {"model": "flux"}, {"operation": "edit"}, {"reserved_at_ms": 5}],
)
async def test_a_request_that_it_cannot_price_is_no_obstacle(database: Database, other: dict[str, Any]) -> None:
    id = await set_price(database, operation="generation")
    await open_request(database, **other)

    await end_price(database, id)

    assert await in_force(database) == [PerImage(1_000_000)]


async def test_a_removed_model_keeps_its_name_in_the_past_and_can_be_made_again(database: Database) -> None:
    await set_price(database, "typo", operation="edit")
    await open_request(database, state="settled", model="typo")
    await insert_usage(database, model="typo")

    await remove_model(database, "typo")

    assert "typo" not in [row.model for row in await models.list_models(database)]
    assert [row.names for row in (await usage.report(database, ["model"])).rows] == [(("typo", "typo"),)]
    async with database.read() as connection:
        assert (await store.read_catalog(connection)).known["typo"].prices.prices
    with pytest.raises(NotFound, match="no model 'typo'"):
        await remove_model(database, "typo")
    await prices.set_price(database, ZONE, PriceEntry("typo", PerImage(7)))
    assert await in_force(database, "typo") == [PerImage(7)]
    [again] = [row for row in await models.list_models(database) if row.model == "typo"]
    assert again.operations == ("edit", "generation")


async def test_a_model_that_an_alias_stands_for_stays(database: Database) -> None:
    await set_price(database, "typo")
    await model_aliases.set_alias(database, AliasChange("poster", "typo"))

    with pytest.raises(Conflict, match="models alias 'poster' --remove"):
        await remove_model(database, "typo")


async def test_an_export_leaves_out_what_was_removed(database: Database) -> None:
    await end_price(database, await set_price(database))

    document = write_document(await prices.list_prices(database), "yaml", ZONE, "CNY")

    found = await import_prices(database, ZONE, read_document(document, "yaml", "CNY"), dry_run=True)
    assert "0.000099" not in document and found.steps == ()
    again = await import_prices(database, ZONE, [PriceEntry(MODEL, PerImage(99))], dry_run=True)
    assert len(again.steps) == 1


async def test_who_removed_what_is_in_the_audit_log(database: Database) -> None:
    id = await set_price(database, "typo")
    await end_price(database, id)
    await remove_model(database, "typo")

    async with database.read() as connection:
        rows = (await connection.execute(sa.select(audit_logs).order_by(audit_logs.c.number))).mappings().all()
    ended, removed = rows[-2:]
    assert (ended["event"], ended["target_id"], removed["event"], removed["target_id"]) == (
        "price.ended",
        id,
        "model.deleted",
        "typo",
    )
    assert ended["before"]["until_ms"] is None and ended["after"]["until_ms"] is not None


@pytest.mark.parametrize("database_kind", ["postgres"], indirect=True)
async def test_a_reservation_that_is_not_committed_yet_is_waited_for(database: Database) -> None:
    id = await set_price(database)
    await open_request(database, state="settled", id="req_0")

    async with database.transaction() as reserving:
        row = (await reserving.execute(sa.select(requests))).mappings().one()
        await reserving.execute(sa.insert(requests).values({**row, "id": "req_1", "state": "reserved"}))
        removing = asyncio.create_task(end_price(database, id))
        await waiting_for_a_lock(database)

    with pytest.raises(Conflict, match="1 reserved"):
        await removing


@pytest.mark.parametrize("database_kind", ["postgres"], indirect=True)
async def test_a_reservation_after_it_is_decided_on_the_new_prices(database: Database) -> None:
    async with open_ledger(database) as ledger:
        order = await Desk(database, ledger).order()
        async with database.write() as removing:
            await block_reservations(removing)
            reserving = asyncio.create_task(ledger.reserve(order))
            await waiting_for_a_lock(database)

        assert await reserving == Stale()


async def waiting_for_a_lock(database: Database) -> None:
    """Return when some statement waits for the lock of a table."""
    async with asyncio.timeout(30):
        while True:
            async with database.read() as connection:
                waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
                if (await connection.execute(sa.text(waits))).scalar_one():
                    return
            await asyncio.sleep(0.01)
