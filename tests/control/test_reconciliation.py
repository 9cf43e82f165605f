"""Our book against the accounts of a relay of either kind, over a socket, on either database."""

from dataclasses import replace

import sqlalchemy as sa

from app.control.assessment import NO_LOG, TOO_YOUNG
from app.control.decisions import DecisionReason, Decisions, release_by_hand
from app.core.intervals import bounds_ms, local_day
from app.core.relays import Relay
from app.store.ledger import corrections
from app.store.tables import requests
from app.upstream.client import HttpUpstream
from tests.control.scene import HOUR, MINUTE, YUAN, ZONE, Scene, only_c, only_n, told
from tests.gateways import RELAY_KEY


async def test_an_unknown_request_with_one_charge_that_fits_is_settled_at_our_price(scene: Scene) -> None:
    id = await scene.unknown()
    scene.charge()

    report = await scene.run()

    assert told(report) == [(id, "settle", YUAN)]
    row = await scene.row(id)
    assert (row["state"], row["cost_micros"], row["images"], row["flag"]) == ("settled", YUAN, 0, "reconciled")
    assert (row["http_status"], row["error_code"]) == (424, "upstream_outcome_unknown")  # what its client was told
    assert await scene.desk.counter(scene.spend) == (YUAN, 0)
    [word] = await scene.desk.database.ask(corrections.corrections_of, id)
    assert (word.kind, word.cost_micros, word.actor) == ("settle", 0, "reconciliation")
    assert "500000 points" in word.reason


async def test_an_unknown_request_whose_charge_cannot_be_in_the_log_is_released(scene: Scene) -> None:
    id = await scene.unknown()

    report = await scene.run()

    assert told(report) == [(id, "release", 0)]
    assert (await scene.row(id))["state"] == "released"
    assert await scene.desk.counter(scene.spend) == (0, 0)


async def test_a_dry_run_shows_the_same_and_changes_nothing(scene: Scene) -> None:
    charged, uncharged = await scene.unknown(), await scene.unknown(-50 * MINUTE * 2)
    scene.charge()

    dry = await scene.run(dry_run=True)

    assert [(await scene.row(id))["state"] for id in (charged, uncharged)] == ["unknown", "unknown"]
    assert dry.drift == ()
    assert told(await scene.run()) == told(dry) == [(charged, "settle", YUAN), (uncharged, "release", 0)]


async def test_what_was_done_is_not_done_again(scene: Scene) -> None:
    await scene.unknown()
    scene.charge()
    await scene.run()

    report = await scene.run()

    assert (report.steps, report.open) == ((), ())
    assert await scene.desk.counter(scene.spend) == (YUAN, 0)


@only_c
async def test_two_requests_that_both_fit_stay_open_and_are_shown(scene: Scene) -> None:
    ids = [await scene.unknown(), await scene.unknown(1000)]
    scene.charge()

    report = await scene.run()

    assert report.steps == ()
    assert [(each.request_id, each.why) for each in report.open] == [
        (id, "1 charge(s) in the relay's log fit it, and not it alone") for id in ids
    ]
    assert await scene.desk.counter(scene.spend) == (0, 2 * YUAN)


@only_n
async def test_the_relays_request_id_tells_apart_what_time_and_amount_cannot(scene: Scene) -> None:
    charged = await scene.unknown(upstream_request_id="aaa")
    uncharged = await scene.unknown(1000, upstream_request_id="bbb")
    scene.charge(request_id="aaa")

    report = await scene.run()

    assert told(report) == [(charged, "settle", YUAN), (uncharged, "release", 0)]


async def test_a_charge_of_a_settled_request_proves_no_other(scene: Scene) -> None:
    await scene.settled()
    id = await scene.unknown(2000)
    scene.charge(10_000)

    assert told(await scene.run()) == [(id, "release", 0)]


async def test_a_settled_request_that_the_log_lacks_stops_every_release_around_it(scene: Scene) -> None:
    await scene.settled()
    id = await scene.unknown(2000)

    report = await scene.run()

    assert (await scene.row(id))["state"] == "unknown"
    assert [each.why for each in report.open] == ["the relay's log lacks a settled request of the same time"]


async def test_a_log_that_begins_after_the_request_proves_nothing(scene: Scene) -> None:
    scene.relay.sandbox.bill.clear()
    await scene.unknown()
    scene.charge(HOUR, model="seedream-3.0")

    report = await scene.run()

    assert report.steps == ()
    assert [each.why for each in report.open] == ["the relay's log does not reach back to it"]


async def test_nothing_young_is_touched(scene: Scene) -> None:
    at = 2 * HOUR - 39 * MINUTE
    id = await scene.unknown(at)
    scene.charge(at + 10_000)

    report = await scene.run()

    assert report.steps == ()
    assert [(each.request_id, each.why) for each in report.open] == [(id, TOO_YOUNG)]


async def test_a_short_answer_that_was_billed_lower_is_corrected_once(scene: Scene) -> None:
    id = await scene.settled(cost=3 * YUAN, quote_micros=3 * YUAN, n=3, flag="short", upstream_request_id="aaa")
    scene.charge(micros=2 * YUAN, request_id="aaa")

    reports = [await scene.run() for _ in range(2)]

    assert [told(report) for report in reports] == [[(id, "correct_short", -YUAN)], []]
    assert (await scene.row(id))["cost_micros"] == 3 * YUAN  # the book is append-only
    assert await scene.desk.counter(scene.spend) == (2 * YUAN, 0)
    [row] = await scene.desk.usage()
    assert row["cost_micros"] == 2 * YUAN


async def test_a_short_answer_that_was_billed_whole_stays_as_it_is(scene: Scene) -> None:
    await scene.settled(cost=3 * YUAN, quote_micros=3 * YUAN, n=3, flag="short")
    scene.charge(micros=3 * YUAN)

    report = await scene.run()

    assert report.steps == ()
    assert await scene.desk.counter(scene.spend) == (3 * YUAN, 0)


@only_n
async def test_a_refused_request_that_was_charged_under_its_id_is_booked(scene: Scene) -> None:
    id = await scene.released(upstream_request_id="aaa")
    scene.charge(request_id="aaa")

    reports = [await scene.run() for _ in range(2)]

    assert [told(report) for report in reports] == [[(id, "correct_late", YUAN)], []]
    assert await scene.desk.counter(scene.spend) == (YUAN, 0)


async def test_a_request_released_by_hand_is_booked_when_its_charge_turns_up(scene: Scene) -> None:
    id = await scene.unknown()
    decisions = Decisions(scene.desk.database, scene.desk.ledger, ZONE)
    async with scene.desk.database.transaction() as connection:  # The command shows the request with its people.
        await connection.execute(sa.text("INSERT INTO users (id, name, created_at_ms) VALUES ('user-1', 'lin', 0)"))
        await connection.execute(sa.text("INSERT INTO projects (id, name, created_at_ms) VALUES ('proj_1', 'red', 0)"))
    await release_by_hand(decisions, id, DecisionReason("lin", "the relay's support says so"))
    scene.charge()

    report = await scene.run()

    assert told(report) == [(id, "correct_late", YUAN)]
    assert await scene.desk.counter(scene.spend) == (YUAN, 0)
    assert (await scene.row(id))["state"] == "released"


async def test_a_request_of_another_relay_is_judged_by_the_log_of_its_own_only(scene: Scene) -> None:
    charged, uncharged = await scene.unknown(relay="other"), await scene.unknown(-50 * MINUTE * 2, relay="other")
    await scene.settled(relay="other")
    refused = await scene.released(relay="other", upstream_request_id="aaa")
    scene.charge()
    scene.charge(request_id="aaa")

    report = await scene.run()

    assert (report.steps, report.open) == ((), ())
    assert sum(row.booked_micros for row in report.drift) == 0
    states = [(await scene.row(id))["state"] for id in (charged, uncharged, refused)]
    assert states == ["unknown", "unknown", "released"]
    of_other = await scene.run(reconciliation=replace(scene.reconciliation, relay=Relay("other")), dry_run=True)
    assert (uncharged, "release", 0) in told(of_other)
    assert of_other.drift == ()


async def test_a_request_from_before_relays_were_recorded_belongs_to_the_default_one(scene: Scene) -> None:
    id = await scene.unknown()
    async with scene.desk.database.transaction() as connection:
        await connection.execute(sa.update(requests).values(relay=None))

    assert told(await scene.run()) == [(id, "release", 0)]


async def test_a_relay_that_shows_no_log_is_said_and_everything_stays_open(scene: Scene) -> None:
    id = await scene.unknown()
    elsewhere = HttpUpstream(scene.relay.base_url + "/elsewhere", RELAY_KEY)

    report = await scene.run(upstream=elsewhere)
    await elsewhere.close()

    assert [(each.request_id, each.why) for each in report.open] == [(id, NO_LOG)]
    assert len(report.accounts.missing) == 4


async def test_drift_is_measured_by_day_and_model_and_kept(scene: Scene) -> None:
    start_ms, _ = bounds_ms("day", scene.start_ms - 36 * HOUR, ZONE)
    noon = start_ms + 12 * HOUR - scene.start_ms
    scene.relay.sandbox.bill.clear()
    scene.charge(noon - 20 * HOUR, model="flux-kontext-max")
    for number in range(3):
        await scene.settled(noon + number * MINUTE)
        scene.charge(noon + number * MINUTE)
    scene.charge(noon, micros=80_000, model="seedream-3.0")
    day = local_day(start_ms, ZONE)

    report = await scene.run()

    rows = {
        row.model: (row.booked_micros, row.billed_micros, row.billed_points) for row in report.drift if row.day == day
    }
    assert rows == {"gpt-image-1": (3 * YUAN, 3 * YUAN, 1_500_000), "seedream-3.0": (0, 80_000, 40_000)}
    [found] = [each for each in report.days if each.day == day]
    assert (found.booked_micros, found.billed_micros, found.closed, found.is_over) == (3 * YUAN, 3_080_000, True, True)
    assert found in report.alarms
    assert found not in (await scene.run()).alarms  # an alarm rings once


async def test_the_days_a_log_does_not_cover_are_not_measured(scene: Scene) -> None:
    scene.relay.sandbox.bill.clear()
    await scene.settled(-48 * HOUR)
    scene.charge(-10 * MINUTE)

    report = await scene.run()

    assert local_day(scene.start_ms - 48 * HOUR, ZONE) not in [row.day for row in report.drift]
    assert all(row.booked_micros == 0 for row in report.drift)
