"""Several relays: each is compared with its own requests, by its own log and at its own prices, over real sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.api.schemas.reconciliation import ReconciliationOut
from app.control.assessment import NO_LOG, REACH_MS, sent_request
from app.control.audit import audit
from app.control.decisions import DecisionReason, Decisions, write_off
from app.control.reconciliations import Reconciliations, missing_of
from app.control.relay_keys import seal_relay_key
from app.core.catalog import Catalog
from app.core.relays import FACTOR_ONE, Relay
from app.errors import ConfigurationError
from app.sandbox import BillLine, RunningSandbox, SandboxOptions, running_sandbox
from app.store import reconciliation as store
from app.store.engine import Database
from app.store.relays import insert_relay
from app.store.tables import relays, requests
from tests.control.scene import HOUR, MINUTE, YUAN, ZONE, Scene, only_c, pool_of
from tests.gateways import PEPPER, RELAY_KEY, running_gateway


@dataclass
class Two:
    """Scene with the relays `default` and `b`, the other sandbox."""

    scene: Scene
    other: RunningSandbox
    work: Reconciliations

    async def change(self, name: str, **columns: Any) -> None:
        async with self.scene.desk.database.write() as connection:
            await connection.execute(sa.update(relays).where(relays.c.name == name).values(**columns))
        self.scene.desk.revision = 0

    async def run(self, **given: Any) -> set[tuple[str, str, str, int]]:
        """Reconcile; the steps with their relays."""
        reports = await self.work.run(**given)
        assert (await audit(self.scene.desk.database, ZONE)).differences == ()
        steps = [step for report in reports for step in report.steps]
        return {(step.relay, step.request_id, step.action, step.cost_micros) for step in steps}


@pytest.fixture
async def two(scene: Scene) -> AsyncIterator[Two]:
    async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as other:
        async with scene.desk.database.write() as connection:
            await insert_relay(connection, Relay("b", other.base_url, b"sealed", created_at_ms=2**42))
        scene.desk.revision = 0  # It is read again for the next order.
        pool = pool_of(scene.upstream, b=other.base_url)
        scene.charge(-24 * HOUR, model="flux-kontext-max", relay=other)
        yield Two(scene, other, scene.reconciliations(pool))
        await pool.close()


async def test_an_unknown_request_of_one_relay_is_never_judged_by_the_log_of_another(two: Two) -> None:
    charged, uncharged = await two.scene.unknown(), await two.scene.unknown(relay="b")
    two.scene.charge()

    assert await two.run() == {("default", charged, "settle", YUAN), ("b", uncharged, "release", 0)}


async def test_equal_charges_at_two_relays_settle_a_request_of_each(two: Two) -> None:
    ids = await two.scene.unknown(), await two.scene.unknown(relay="b")
    two.scene.charge(request_id="an equal id")
    two.scene.charge(request_id="an equal id", relay=two.other)

    found = await two.run()

    assert found == {("default", ids[0], "settle", YUAN), ("b", ids[1], "settle", YUAN)}
    assert await two.scene.desk.counter(two.scene.spend) == (2 * YUAN, 0)


@only_c
@pytest.mark.parametrize("broken", ["no log", "no key"])
async def test_a_relay_that_cannot_be_read_keeps_no_other_from_being_reconciled(two: Two, broken: str) -> None:
    here, there = await two.scene.unknown(), await two.scene.unknown(relay="b")
    two.scene.charge()
    pool = pool_of(two.scene.upstream, b=two.other.base_url + "/elsewhere")

    def url_key(relay: Relay) -> str:
        if relay.name == "b" and broken == "no key":
            raise ConfigurationError("its key cannot be read")
        return RELAY_KEY

    work = replace(two.work, bills=replace(two.work.bills, relays=pool, url_key=url_key))
    reports = {report.relay: report for report in await work.run()}
    await pool.close()

    assert [(step.request_id, step.action) for step in reports["default"].steps] == [(here, "settle")]
    assert [(each.request_id, each.relay, each.why) for each in reports["b"].open] == [(there, "b", NO_LOG)]
    missing = missing_of(list(reports.values()))
    assert any(why.startswith("b: ") for why in missing)
    assert ("its key cannot be read" in str(missing)) is (broken == "no key")
    answer = ReconciliationOut.of(list(reports.values()), dry_run=False)
    assert (answer.relay.log_rows, answer.relay.missing) == (2, missing)
    assert [(each.relay, each.log_rows) for each in answer.relays] == [("default", 2), ("b", None)]
    assert {each.relay for each in answer.done} == {"default"} and {each.relay for each in answer.open} == {"b"}


@only_c
async def test_relays_are_asked_while_they_are_in_use_or_have_open_requests(two: Two) -> None:
    long_ago_ms = await two.scene.desk.database.now_ms() - REACH_MS - HOUR

    async def asked() -> list[str]:
        return [relay.name for relay in await two.work.relays()]

    assert await asked() == ["default", "b"]
    await two.change("b", removed_at_ms=long_ago_ms + 2 * HOUR)
    assert await asked() == ["default", "b"], "what it billed of the last days is still compared"
    await two.change("b", removed_at_ms=long_ago_ms)
    assert await asked() == ["default"]
    await two.scene.unknown(relay="b")
    assert await asked() == ["default", "b"]
    await two.change("b", sealed_key=None)
    assert await asked() == ["default"]
    await two.change("default", disabled_at_ms=long_ago_ms)
    assert await asked() == []
    await two.scene.unknown()
    assert await asked() == ["default"]


@pytest.mark.parametrize("factor", [FACTOR_ONE // 2, FACTOR_ONE * 3 // 2, 333_333])
async def test_costs_of_a_relay_are_the_price_book_times_its_factor(two: Two, factor: int) -> None:
    """Points of `b` cost twice as much; what is held is the quote of the dearer relay."""
    await two.change("b", price_factor=factor, micros_per_dollar=2 * YUAN)
    own = Relay("b", price_factor=factor).price_micros(YUAN)
    held = max(own, YUAN)
    here = await two.scene.unknown(quote_micros=held)
    there = await two.scene.unknown(relay="b", quote_micros=held)
    two.scene.charge()
    two.scene.charge(micros=own // 2, relay=two.other)

    found = await two.run(every_day=True)

    assert found == {("default", here, "settle", YUAN), ("b", there, "settle", own)}
    assert await two.scene.desk.counter(two.scene.spend) == (YUAN + own, 0)
    [day] = [
        day
        for day in await two.work.drift_by_day(await two.scene.desk.database.now_ms())
        if day.booked_micros and day.relay == "b"
    ]
    assert abs(day.booked_micros - day.billed_micros) < 4


@only_c
async def test_a_charge_at_the_price_of_another_relay_proves_nothing(two: Two) -> None:
    await two.change("b", price_factor=FACTOR_ONE // 2)
    there = await two.scene.unknown(relay="b")
    two.scene.charge(relay=two.other)

    assert await two.run() == set()
    assert (await two.scene.row(there))["state"] == "unknown"


def test_every_part_of_a_cost_is_found_whatever_the_factor() -> None:
    """A charge for some of the images that were asked for is the price of those times the factor, rounded up once."""
    for factor, price, n in product((333_333, 999_999, 1_000_001, 1_234_567), (1, 79_999, YUAN), (1, 3, 7, 10)):
        relay = Relay("b", price_factor=factor)
        row: dict[str, Any] = dict.fromkeys(store.SentRow.__slots__)
        row |= {"relay": "b", "state": "settled", "flag": "short", "n": n, "dispatched_at_ms": 0, "model": "m"}
        sent = sent_request(store.SentRow(**row | {"cost_micros": relay.price_micros(price * n)}), Catalog({}))
        assert {relay.price_micros(price * images) for images in range(1, n + 1)} <= sent.costs_micros


@only_c
async def test_a_decision_without_a_cost_books_the_most_at_the_relay_that_the_request_went_to(two: Two) -> None:
    await two.change("b", price_factor=FACTOR_ONE // 2)
    cheaper, listed = await two.scene.unknown(relay="b"), await two.scene.unknown()
    database = two.scene.desk.database
    async with database.transaction() as connection:
        await connection.execute(sa.text("INSERT INTO users (id, name, created_at_ms) VALUES ('user-1', 'lin', 0)"))
        await connection.execute(sa.text("INSERT INTO projects (id, name, created_at_ms) VALUES ('proj_1', 'red', 0)"))
    decisions = Decisions(database, two.scene.desk.ledger, ZONE)

    for id in (cheaper, listed):
        await write_off(decisions, id, DecisionReason("lin", "too old"))

    assert [(await two.scene.row(id))["cost_micros"] for id in (cheaper, listed)] == [YUAN // 2, YUAN]


@only_c
async def test_the_log_of_a_new_key_says_nothing_about_requests_with_the_former_one(two: Two) -> None:
    with_old, with_new = await two.scene.unknown(relay="b"), await two.scene.unknown(20 * MINUTE, relay="b")
    two.scene.charge(HOUR, model="imagen4", relay=two.other)
    await two.change("b", key_replaced_at_ms=two.scene.start_ms + 10 * MINUTE)

    assert await two.run() == {("b", with_new, "release", 0)}
    assert (await two.scene.row(with_old))["state"] == "unknown"


@only_c
async def test_a_held_quote_that_no_price_leads_to_counts_in_proportion(two: Two) -> None:
    """As for a field of the request that its row lacks: the dearer relay held twice as much as `b` may charge."""
    await two.change("default", price_factor=FACTOR_ONE * 2)
    there = await two.scene.unknown(relay="b", quote_micros=5 * YUAN)
    two.scene.charge(micros=5 * YUAN // 2, relay=two.other)

    assert await two.run() == {("b", there, "settle", 5 * YUAN // 2)}


async def test_a_request_that_one_relay_refused_is_booked_and_matched_at_the_one_that_served(
    database: Database, tmp_path: Path
) -> None:
    """The one that refused shows no charge of it; a charge that it makes all the same is its drift."""
    url = None if database.is_sqlite else database.where.url
    data_dir = database.where.path.parent if database.where.path else tmp_path
    options = SandboxOptions(RELAY_KEY, "N", latency_scale=0)
    other_key = RELAY_KEY.replace("tests", "other")
    async with (
        running_sandbox(options) as a,
        running_sandbox(replace(options, key=other_key)) as b,
        running_gateway(data_dir, a.base_url, database_url=url, upstream_log_key_in_url=False) as running,
    ):
        now_ms = await database.now_ms()
        sealed = seal_relay_key(PEPPER, "b", other_key)
        async with database.write() as connection:
            await insert_relay(connection, Relay("b", b.base_url, sealed, "N", weight=0, created_at_ms=now_ms))
        key = await running.key()
        await running.limit("user", "lin", "micros", "month", 10 * YUAN)
        a.sandbox.options = replace(options, key="sk-replaced")
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key.key}"}, timeout=60) as client:
            body = {"model": "gpt-image-1", "prompt": "a cat"}
            answer = await client.post(f"{running.url}/v1/images/generations", json=body)
        assert answer.status_code == 200, answer.text
        a.sandbox.options = options
        async with database.transaction() as connection:
            shifted = {name: requests.c[name] - 2 * HOUR for name in ("reserved_at_ms", "dispatched_at_ms")}
            await connection.execute(sa.update(requests).values(shifted))
        [charge] = b.sandbox.bill
        charge = replace(charge, at_ms=charge.at_ms - 2 * HOUR)
        old = BillLine("old", "imagen4", "generation", 1, 1, charge.at_ms - 30 * HOUR, 1)
        a.sandbox.bill[:], b.sandbox.bill[:] = [old], [old, charge]
        work = running.gateway.reconciliations

        async def drift() -> dict[str, tuple[int, int]]:
            reports = await work.run(every_day=True)
            assert [step for report in reports for step in report.steps] == []
            rows = [row for report in reports for row in report.drift if row.model == "gpt-image-1"]
            return {row.relay: (row.booked_micros, row.billed_micros) for row in rows}

        honest = await drift()
        a.sandbox.bill.append(replace(charge, request_id="the refused one"))
        lying = await drift()

        assert honest == {"b": (YUAN, YUAN)}
        assert lying == {"default": (0, YUAN), "b": (YUAN, YUAN)}
        [spend] = await running.counters()
        assert (spend["spent"], spend["held"]) == (YUAN, 0)
