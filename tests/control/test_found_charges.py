"""Charges that a reconciliation has found: each proves one request, and is booked even where the run that found it died."""

import pytest
import sqlalchemy as sa

from app.control.decisions import DecisionReason, Decisions
from app.core.request import DEFAULT_RELAY
from app.store.engine import Database
from app.store.ledger.columns import Ending
from app.store.reconciliation import MatchedCharge, claim, find
from app.store.tables import charges
from tests.control.scene import YUAN, ZONE, Scene, told


async def claim_and_die(scene: Scene, id: str) -> None:
    """Find the charge of a request, and end before the request does."""
    charge = MatchedCharge(DEFAULT_RELAY, "found earlier", id, 500_000, scene.start_ms)
    async with scene.desk.database.transaction() as connection:
        assert await claim(connection, charge, scene.start_ms)


async def test_a_run_that_was_killed_between_claim_and_settlement_is_finished(scene: Scene) -> None:
    id = await scene.unknown()
    other = await scene.unknown(1000)
    scene.charge()
    await claim_and_die(scene, id)

    report = await scene.run()

    assert (id, "settle", YUAN) in told(report)
    assert (await scene.row(id))["state"] == "settled"
    assert (other, "settle", YUAN) in told(report)


@pytest.mark.parametrize("by", ["a person", "the gateway"])
async def test_what_such_a_run_found_is_booked_even_when_the_request_was_released_meanwhile(
    scene: Scene, by: str
) -> None:
    id = await scene.unknown()
    await claim_and_die(scene, id)
    request = await scene.desk.database.ask(find, id)
    assert request is not None
    if by == "a person":
        decisions = Decisions(scene.desk.database, scene.desk.ledger, ZONE)
        assert await decisions.release(request, DecisionReason("ada", "the relay's support says so"))
    else:
        assert await scene.desk.ledger.release(id, Ending(scene.start_ms, 429, "upstream_rate_limited"), ("unknown",))
    scene.charge(micros=2 * YUAN)  # Of something else: the log is not empty.

    reports = [await scene.run(), await scene.run()]

    assert [told(report) for report in reports] == [[(id, "correct_late", YUAN)], []]
    assert await scene.desk.counter(scene.spend) == (YUAN, 0)


async def test_a_charge_proves_one_request_only(scene: Scene) -> None:
    id = await scene.unknown()
    scene.charge()
    accounts = (await scene.run(dry_run=True)).accounts
    assert accounts.log is not None
    proof = accounts.log.rows[-1].row_id
    taken = {"proof": proof, "request_id": "req_of_another", "points": 1, "charged_at_ms": 1, "matched_at_ms": 1}
    async with scene.desk.database.transaction() as connection:
        await connection.execute(sa.insert(charges).values(taken))

    report = await scene.run()

    assert report.steps == ()
    assert (await scene.row(id))["state"] == "unknown"
    assert len(report.open) == 1


async def test_equal_rows_in_the_logs_of_two_relays_are_two_charges(database: Database) -> None:
    here, again, elsewhere = (
        MatchedCharge(relay, "an equal row", request_id, 1, 1)
        for relay, request_id in ((DEFAULT_RELAY, "req_1"), (DEFAULT_RELAY, "req_2"), ("other", "req_3"))
    )

    async with database.transaction() as connection:
        claimed = [await claim(connection, charge, 2) for charge in (here, again, elsewhere)]

    assert claimed == [True, False, True]
