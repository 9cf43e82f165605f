"""The OpenAI Python SDKs, each in an environment of its own, against a gateway over each kind of relay.

The older major versions are slow tests: what they send differs little from the newest.
"""

import asyncio
import json

import pytest

from tests.contract.environments import output_of, python_with_openai
from tests.contract.python_sdk import catalogue
from tests.contract.stage import Stage

NEWEST = 3
MAJORS = (1, 2, NEWEST)
TIMEOUT_S = 600
Results = dict[tuple[str, str], str | None]
"""(relay profile, check) -> what failed in it, None where nothing did."""

CASES = [
    pytest.param(
        *(major, profile, name),
        marks=[pytest.mark.slow] if major != NEWEST else [],
        id=f"openai{major}-{profile}-{name}",
    )
    for major in MAJORS
    for profile, name, _ in catalogue.entries(major)
]


@pytest.fixture(scope="module")
async def outcomes(request: pytest.FixtureRequest, stage: Stage) -> dict[int, Results | BaseException]:
    """Results by major version, of the versions that selected tests need: one process each, all at once, since they mostly wait."""
    here = [item for item in request.session.items if item.path == request.path]
    majors = sorted({item.callspec.params["major"] for item in here})  # type: ignore[attr-defined]
    found = await asyncio.gather(*(_run(stage, major) for major in majors), return_exceptions=True)
    return dict(zip(majors, found, strict=True))


@pytest.mark.parametrize(("major", "profile", "name"), CASES)
def test_with_the_python_sdk(outcomes: dict[int, Results | BaseException], major: int, profile: str, name: str) -> None:
    results = outcomes[major]
    if isinstance(results, BaseException):
        pytest.fail(f"The checks did not come to their end: {results!r}")  # Raised anew, it would grow with each test.

    failure = results.get((profile, name), "It did not run.")

    if failure is not None:
        pytest.fail(failure, pytrace=False)


async def _run(stage: Stage, major: int) -> Results:
    python = await asyncio.to_thread(python_with_openai, major)
    described = json.dumps(await stage.described(f"python {major}"))
    program = (python, "-m", "tests.contract.python_sdk.run")
    out = await output_of(*program, timeout_s=TIMEOUT_S, given=described.encode())
    lines = [json.loads(line) for line in out.splitlines()]
    return {(line["profile"], line["name"]): line["failure"] for line in lines}
