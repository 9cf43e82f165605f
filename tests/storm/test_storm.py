"""The storm in the test run: a few seeds on each database. `python3 dev.py storm` runs as many as one likes."""

from pathlib import Path
from typing import get_args

import pytest

from app.images.crash import POINTS, Point
from tests.storm.faults import FAULTS
from tests.storm.plan import make_plan
from tests.storm.prove import MUTATIONS, ROOT
from tests.storm.run import Options, run_seed
from tests.storm.stage import Kind, set_stage
from tests.storm.story import tell

SEEDS = range(1, 6)
LIMIT = 60
OPTIONS = Options(processes=3, kills=10, requests=70)


@pytest.mark.slow
@pytest.mark.parametrize("kind", get_args(Kind))
async def test_no_seed_brings_the_book_and_the_bill_apart(kind: Kind, tmp_path: Path) -> None:
    charged = 0
    async with set_stage(kind, tmp_path, LIMIT) as stage:
        for seed in SEEDS:
            outcome = await run_seed(stage, str(seed), OPTIONS)

            assert not outcome.violations, tell(outcome)
            charged += sum(line.charged for line in outcome.bill)
    assert charged, "a storm in which nothing is bought proves nothing"


def test_the_same_seed_means_the_same_storm() -> None:
    one, same, other = (
        make_plan(seed, 50, 10, 4, {"gateway": 3, "postgres": 1, "redis": 1, "relay": 1}) for seed in ("1", "1", "2")
    )

    assert one == same
    assert one != other


def test_most_faults_charge_and_the_documented_refusals_do_not() -> None:
    free = {name for name, fault in FAULTS.items() if not fault.charges}

    assert free == {
        "busy", "wallet_empty", "key_exhausted", "key_wrong", "key_forbidden", "moderated", "checked_500",
        "converted_500", "no_price", "no_channel",
    }  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_every_crash_point_is_somewhere_in_the_way_of_a_request(point: Point) -> None:
    passed = [file for file in (ROOT / "app").rglob("*.py") if f'crash_point("{point}")' in file.read_text()]

    assert passed, f"nothing passes {point}"


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_the_proof_takes_out_still_stands_in_the_code(name: str) -> None:
    for file, text, _ in MUTATIONS[name].changes:
        assert (ROOT / file).read_text().count(text) == 1
