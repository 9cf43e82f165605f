"""The experiments with stock SDKs, in short: `python3 dev.py storm clients`, `killed-client` and `handover` are the long ones."""

from pathlib import Path

import pytest

from tests.storm.clients import Pair, Told, compare, table, violations
from tests.storm.handover import Schedule, hand_over, pair, sentence
from tests.storm.killed_client import kill_clients
from tests.storm.shapes import PLACES, SHAPES, make_jobs
from tests.storm.worlds import world_with_gateway, world_without_gateway

CALLS = 12
"""Through each shape: three of each kind, and in each the first try fails, the first two, all three."""
CUT_S = 1.0
RATE = 10.0


@pytest.mark.slow
async def test_through_every_failure_a_stock_client_pays_for_each_call_once_at_most(tmp_path: Path) -> None:
    jobs = [job for shape in SHAPES for job in make_jobs(shape, CALLS, ("python",), CUT_S)]

    async with world_with_gateway(tmp_path, "sqlite", CUT_S) as here, world_without_gateway(CUT_S) as bare:
        pairs = await compare(here, bare, jobs, RATE)
        assert here.gateway is not None
        wrong = await here.gateway.wrong(here.charged)

    assert not violations(pairs) and not wrong, f"{violations(pairs)} {wrong}\n{table(pairs)}"
    assert _bare(pairs).charged > 1.5, "without the gateway these failures cost nothing, so they prove nothing"
    assert _bare(pairs).posts > 1.5
    assert any(one.here.failure is None and one.here.posts > 1 for one in pairs), "no retry ever got a picture"


def _bare(pairs: list[Pair]) -> Told:
    return Told.of([pair.bare for pair in pairs if pair.job.shape != "429"])


@pytest.mark.slow
async def test_the_picture_of_a_client_that_was_killed_can_be_collected(tmp_path: Path) -> None:
    [survivor], wrong = await kill_clients(tmp_path, seconds=3.0, kill_s=1.0, sdks=("python",))

    assert survivor.good, survivor
    assert survivor.state_at_kill == "dispatched"
    assert not wrong


@pytest.mark.slow
async def test_a_gateway_leaves_and_its_clients_do_not_notice(postgres_url: str, tmp_path: Path) -> None:
    schedule = Schedule(long=4, long_s=6.0, term_s=2.0, every_s=0.25)

    async with pair(tmp_path, postgres_url) as two:
        came = await hand_over(two, schedule, ("python",))

    assert came.good, sentence(came)
    assert came.in_flight >= schedule.long
    assert came.after_term > 0


def test_the_same_calls_mean_the_same_failures() -> None:
    assert make_jobs("500", 50, ("python", "node"), 5.0) == make_jobs("500", 50, ("python", "node"), 5.0)


def test_every_shape_comes_at_both_places_with_and_without_the_proxy_for_one_try_two_and_all() -> None:
    for shape in SHAPES:
        jobs = make_jobs(shape, CALLS, ("python",), CUT_S)

        assert {(job.place, job.cut, job.faulty) for job in jobs} == {
            (place, cut, faulty) for place in PLACES for cut in (False, True) for faulty in (1, 2, 3)
        }
        assert len({job.prompt for job in jobs}) == len(jobs) == CALLS
