"""Charges that a restored book does not know: found in the relay's log, and booked to the organization once."""

from dataclasses import replace

import pytest

from app.control.audit import audit
from app.control.bill_reader import BillReader
from app.control.matching import SLACK_MS
from app.control.spent_since import UNKNOWN_MODEL, LostCharges, SpentSince, book_charges, why_incomplete
from app.core.relays import Relay
from app.core.request import DEFAULT_RELAY
from app.errors import ConfigurationError
from app.store.engine import Database
from app.store.relays import insert_relay
from app.store.tables import relays
from app.upstream.billing import ChargeLog, LogRow, read_accounts
from tests.control.scene import MINUTE, RULES, YUAN, ZONE, Scene, only_c, pool_of
from tests.gateways import RELAY_KEY
from tests.money.books import limited


async def log_of(scene: Scene) -> ChargeLog:
    log = (await read_accounts(scene.upstream, RELAY_KEY)).log
    assert log is not None
    return log


def since(scene: Scene, at: int) -> LostCharges:
    return LostCharges(scene.desk.database, RULES, DEFAULT_RELAY, scene.start_ms + at)


async def test_charges_after_the_backup_are_lost_and_those_of_booked_requests_are_not(scene: Scene) -> None:
    for number in range(3):
        await scene.settled(number * 1000)
        scene.charge(number * 1000 + 10_000)
    scene.charge(20_000)
    scene.charge(MINUTE, micros=2 * YUAN, model="flux-kontext-max")

    found = await since(scene, 13_000).find(await log_of(scene))

    assert [(each.model, each.cost_micros) for each in found] == [("gpt-image-1", YUAN), ("flux-kontext-max", 2 * YUAN)]


async def test_a_charge_of_just_after_the_backup_is_not_taken_for_one_of_just_before(scene: Scene) -> None:
    """The log tells whole seconds, so that the later charge may seem to be nearer to the end of the earlier request."""
    await scene.settled(900)
    scene.charge(9_000)
    scene.charge(11_000)

    found = await since(scene, 10_950).find(await log_of(scene))

    assert [each.at_ms - scene.start_ms > 10_000 for each in found] == [True]


async def test_an_open_request_keeps_a_charge_that_may_be_its_own(scene: Scene) -> None:
    lost = await scene.unknown(0)
    scene.charge(20_000)
    scene.charge(30_000)

    spent = since(scene, 10_000)
    charges = await spent.find(await log_of(scene))
    await book_charges(scene.desk.database, ZONE, charges)

    assert [each.cost_micros for each in charges] == [YUAN]
    report = await scene.run()
    assert [(step.request_id, step.action) for step in report.steps] == [(lost, "settle")]
    assert await spent.find(await log_of(scene)) == [], "they would be booked twice"


async def test_they_count_in_the_limits_of_the_organization_only(scene: Scene) -> None:
    await scene.desk.limit("micros", 100 * YUAN, "organization", "month")
    await scene.desk.limit("requests", 100, "organization", "day")
    await scene.desk.limit("micros", 100 * YUAN, "organization", "day", "imagen4")
    scene.charge(20_000)
    scene.charge(25_000)

    spent = since(scene, 10_000)
    await book_charges(scene.desk.database, ZONE, await spent.find(await log_of(scene)))

    database: Database = scene.desk.database
    counted = [(each["scope"], each["unit"], each["spent"]) for each in await limited(database) if each["spent"]]
    assert sorted(counted) == [("organization", "micros", 2 * YUAN), ("organization", "requests", 2)]
    assert (await audit(database, ZONE)).differences == ()


async def test_a_request_of_one_relay_takes_no_charge_of_another(scene: Scene) -> None:
    """The log of the scene is that of `b`, whose charge has the model, time and amount of a request to `default`."""
    await scene.settled()
    scene.charge()

    found = {name: await replace(since(scene, 5000), relay=name).find(await log_of(scene)) for name in ("default", "b")}

    assert {name: [each.relay for each in charges] for name, charges in found.items()} == {"default": [], "b": ["b"]}


@only_c
async def test_amounts_that_a_person_read_take_the_place_of_the_logs_of_their_relays(scene: Scene) -> None:
    scene.charge(20_000)
    async with scene.desk.database.write() as connection:
        for name in ("b", "c"):
            await insert_relay(connection, Relay(name, f"{scene.relay.base_url}/elsewhere", b"sealed"))
    nowhere = scene.relay.base_url + "/elsewhere"
    pool = pool_of(scene.upstream, b=nowhere, c=nowhere)
    bills = BillReader(pool, lambda _: RELAY_KEY, RULES)
    spent = SpentSince(scene.desk.database, bills, ZONE, scene.start_ms + 10_000)

    async def found(stated: int | dict[str, int]) -> set[tuple[str, str, int]]:
        return {(each.relay, each.model, each.cost_micros) for each in await spent.charges(stated)}

    read = ("default", "gpt-image-1", YUAN)
    assert await found({"b": 3 * YUAN, "c": 0}) == {read, ("b", UNKNOWN_MODEL, 3 * YUAN)}
    assert await found(7 * YUAN) == {("default", UNKNOWN_MODEL, 7 * YUAN)}
    with pytest.raises(ConfigurationError, match="--spent b=AMOUNT --spent c=AMOUNT, 0 for nothing"):
        await found({})
    async with scene.desk.database.write() as connection:
        await connection.execute(relays.update().where(relays.c.name == "c").values(removed_at_ms=1))
    with pytest.raises(ConfigurationError, match="--spent b=AMOUNT, 0 for nothing"):
        await found({})
    await pool.close()


@pytest.mark.parametrize(
    ("oldest", "truncated", "complete"), [(0, True, True), (-2 * SLACK_MS, True, True), (5, False, True)]
)
def test_a_log_that_reaches_back_is_complete(oldest: int, truncated: bool, complete: bool) -> None:
    row = LogRow("proof", 10**12 + oldest, "m", 1, "")
    log = ChargeLog((row,), 10**12 + oldest, truncated)
    since_ms = 10**12 + (SLACK_MS + 1 if oldest == 0 else 0)

    assert (why_incomplete(log, since_ms) is None) is complete
    assert why_incomplete(None, since_ms) == "the relay's log cannot be read"
    assert why_incomplete(ChargeLog((row,), since_ms, True), since_ms) == "the relay's log does not reach back to it"
