"""The fault run in short; `python3 dev.py faults` runs the long one."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.endurance.run import Options, run, write_report


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # By the client of the test.
@pytest.mark.parametrize("kills", [False, True])
async def test_nothing_is_lost_or_charged_twice_through_a_minute_of_faults(kills: bool, tmp_path: Path) -> None:
    result = await run(Options(minutes=1, every_s=5, rate=5, kills=kills), tmp_path)
    write_report(result, tmp_path / "report")

    assert [violation.what for violation in result.reckoning.violations] == []
    assert {mark.name for mark in result.record.marks} >= ({"gateway killed"} if kills else {"relay A: garbage"})
    assert any(done.outcome == "picture" for done in result.load.results)
    assert ElementTree.parse(tmp_path / "report" / "plot.svg").getroot().tag.endswith("svg")
