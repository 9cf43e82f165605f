"""The OpenAI SDK for Node, the newest that the Node at hand can run, against a gateway over each kind of relay."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.contract.environments import node_with_openai, output_of
from tests.contract.stage import Stage

CHECKS = Path(__file__).parent / "node_sdk" / "checks.mjs"
TIMEOUT_S = 120
Results = dict[tuple[str, str], str | None]
"""(relay profile, check) -> what failed in it, None where nothing did."""

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not shutil.which("npm"), reason="no Node here: what its SDK sends is NOT tested"
)


def cases() -> list[tuple[str, str]]:
    """(relay profile, check), read from the script: it lists them without being run."""
    text = CHECKS.read_text(encoding="utf-8")
    names = re.findall(r"^check\(\s*'(\w+)'", text, re.MULTILINE)
    table = re.findall(r"^  \['(\w+)', '\w+Error'", text, re.MULTILINE)
    only_n = {"a_stream_that_fails_on_its_way_raises"}
    every = [*names, *(f"error_{name}" for name in table)]
    return [(profile, name) for name in every for profile in ("CN" if name not in only_n else "N")]


@pytest.fixture(scope="module")
def results(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Awaitable[Results]]:
    """All checks run in one process, when the first is asked for."""
    known: list[Results] = []

    async def run_once() -> Results:
        if not known:
            known.append({})  # What breaks below breaks once.
            known[0] = await _run(stage, tmp_path_factory.mktemp("node") / "where.json")
        return known[0]

    return run_once


@pytest.mark.parametrize(("profile", "name"), cases(), ids=[f"{profile}-{name}" for profile, name in cases()])
async def test_with_the_node_sdk(results: Callable[[], Awaitable[Results]], profile: str, name: str) -> None:
    failure = (await results()).get((profile, name), "It did not run.")

    if failure is not None:
        pytest.fail(failure, pytrace=False)


async def test_every_check_of_the_script_is_a_test(results: Callable[[], Awaitable[Results]]) -> None:
    assert set(await results()) == set(cases())


async def _run(stage: Stage, where: Path) -> Results:
    folder = await asyncio.to_thread(node_with_openai)
    if folder is None:
        pytest.skip("this Node is older than 20: what its SDK sends is NOT tested")
    where.write_text(json.dumps(await stage.described("node")), encoding="utf-8")
    program, env = ("node", "--input-type=module"), {**os.environ, "IMAGEGATE_CONTRACT": str(where)}
    out = await output_of(*program, timeout_s=TIMEOUT_S, given=CHECKS.read_bytes(), folder=folder, env=env)
    lines = [json.loads(line) for line in out.splitlines()]
    return {(line["profile"], line["name"]): line["failure"] for line in lines}
