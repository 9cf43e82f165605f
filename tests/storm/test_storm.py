"""The storm and the SDK experiments in short; `python3 dev.py storm` runs the long ones."""

from pathlib import Path
from typing import get_args

import pytest

from app.images.crash import POINTS
from tests.storm.clients import CallSummary, compare, table, violations
from tests.storm.handover import Schedule, hand_over, pair, sentence
from tests.storm.killed_client import kill_clients
from tests.storm.prove import MUTATIONS, ROOT
from tests.storm.run import Options, run_seed
from tests.storm.shapes import SHAPES, make_jobs
from tests.storm.stage import Kind, set_stage
from tests.storm.story import tell
from tests.storm.worlds import world_with_gateway, world_without_gateway

LIMIT = 60
OPTIONS = Options(processes=3, kills=10, requests=70)
MORE_SEEDS = pytest.param(range(2, 6), marks=pytest.mark.slow, id="more")
CALLS = 12
"""Through each shape: three of each kind, and in each the first try fails, the first two, all three."""
CUT_S = 1.0
RATE = 10.0


@pytest.mark.parametrize("seeds", [pytest.param(range(1, 2), id="first"), MORE_SEEDS])
@pytest.mark.parametrize("kind", get_args(Kind))
async def test_the_book_agrees_with_the_bill_of_the_relay_after_every_seed(
    kind: Kind, seeds: range, tmp_path: Path
) -> None:
    charged = 0
    async with set_stage(kind, tmp_path, LIMIT) as stage:
        for seed in seeds:
            outcome = await run_seed(stage, str(seed), OPTIONS)

            assert not outcome.violations, tell(outcome)
            charged += sum(line.charged for line in outcome.bill)
    assert charged, "a storm in which nothing is bought proves nothing"


@pytest.mark.slow
async def test_a_stock_sdk_pays_at_most_once_for_a_call_through_every_failure(tmp_path: Path) -> None:
    jobs = [job for shape in SHAPES for job in make_jobs(shape, CALLS, ("python",), CUT_S)]

    async with world_with_gateway(tmp_path, "sqlite", CUT_S) as here, world_without_gateway(CUT_S) as bare:
        pairs = await compare(here, bare, jobs, RATE)
        assert here.gateway is not None
        wrong = await here.gateway.wrong(here.charged)

    assert not violations(pairs) and not wrong, f"{violations(pairs)} {wrong}\n{table(pairs)}"
    without = CallSummary.of([pair.bare for pair in pairs if pair.job.shape != "429"])
    assert without.charged > 1.5, "without the gateway these failures cost nothing, so they prove nothing"
    assert any(one.here.failure is None and one.here.posts > 1 for one in pairs), "no retry ever got a picture"


@pytest.mark.slow
async def test_the_picture_of_a_client_that_was_killed_can_be_collected(tmp_path: Path) -> None:
    [survivor], wrong = await kill_clients(tmp_path, seconds=3.0, kill_s=1.0, sdks=("python",))

    assert survivor.good, survivor
    assert survivor.state_at_kill == "dispatched"
    assert not wrong


@pytest.mark.slow
async def test_no_call_fails_while_one_of_two_gateways_shuts_down(postgres_url: str, tmp_path: Path) -> None:
    schedule = Schedule(long=4, long_s=6.0, term_s=2.0, every_s=0.25)

    async with pair(tmp_path, postgres_url) as two:
        came = await hand_over(two, schedule, ("python",))

    assert came.good, sentence(came)
    assert came.in_flight >= schedule.long
    assert came.after_term > 0


def test_the_code_still_has_every_crash_point_and_every_safeguard_the_proof_removes() -> None:
    code = {file.relative_to(ROOT).as_posix(): file.read_text() for file in (ROOT / "app").rglob("*.py")}
    removed = [change for mutation in MUTATIONS.values() for change in mutation.changes]

    assert [point for point in POINTS if not any(f'crash_point("{point}")' in text for text in code.values())] == []
    assert [text for file, text, _ in removed if code.get(file, "").count(text) != 1] == []
