"""One script with nothing but OpenAI's SDK sets up a team from nothing, makes an image with the new key, and sees what it cost."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import dev
from app.control.admin_keys import NewAdminKey, create_admin_key
from app.sandbox import RunningSandbox
from app.store.engine import Database
from tests.contract.environments import node_with_openai, output_of, python_with_openai
from tests.databases import postgres_with_all
from tests.gateways import PEPPER, Running, running_gateway

HERE = Path(__file__).parent / "admin"
TIMEOUT_S = 120


@pytest.fixture
async def nothing(
    request: pytest.FixtureRequest, tmp_path: Path, relay: RunningSandbox, database: Database
) -> AsyncIterator[Running]:
    """A gateway in which nobody is yet, on each database, in the currency the test names."""
    url = database.where.url or None
    async with running_gateway(tmp_path, relay.base_url, database_url=url, currency=request.param) as running:
        yield running


@pytest.mark.parametrize(
    ("database_kind", "nothing"),
    [
        ("sqlite", "USD"),
        ("postgres", "CNY"),
        pytest.param("sqlite", "CNY", marks=pytest.mark.slow),
        pytest.param("postgres", "USD", marks=pytest.mark.slow),
    ],
    indirect=True,
)
async def test_a_team_from_nothing_with_the_python_sdk(nothing: Running) -> None:
    python = await asyncio.to_thread(python_with_openai, 3)

    check(await _run(nothing, (str(python), str(HERE / "team.py")), dev.ROOT), nothing.gateway.currency)


@postgres_with_all
@pytest.mark.parametrize("nothing", ["CNY"], indirect=True)
async def test_a_team_from_nothing_with_the_node_sdk(nothing: Running) -> None:
    folder = await asyncio.to_thread(node_with_openai) if shutil.which("node") and shutil.which("npm") else None
    if folder is None:
        pytest.skip("no Node of at least 20 here: what its SDK sends is NOT tested")

    check(
        await _run(nothing, ("node", "--input-type=module"), folder, (HERE / "team.mjs").read_bytes()),
        nothing.gateway.currency,
    )


def check(seen: dict[str, Any], currency: str) -> None:
    project, robot = seen["project"], seen["robot"]

    assert seen == {
        "project": project,
        "robot": robot,
        "rate limit": ["seedream-3.0", 3, 10],
        "spend limit": [500, currency, "month"],
        "left_micros": 4_840_000,
        "alert": [400, ["finance@example.com"]],
        "images": 2,
        "refused": {"another model": "model_not_allowed", "two more images": "rate_limit_exceeded"},
        "used": [[project, robot, "seedream-3.0", "image.generation", 2, 1]],
        "costs": [[project, "seedream-3.0, image.generation", 0.16, currency.lower()]],
    }


async def _run(running: Running, command: tuple[str, ...], folder: Path, script: bytes = b"") -> Any:
    admin = await create_admin_key(running.database, PEPPER, NewAdminKey("the team's"))
    given = {"BASE_URL": f"{running.url}/v1", "ADMIN_KEY": admin.key, "CURRENCY": running.gateway.currency}
    env = {**os.environ, **given}
    return json.loads(await output_of(*command, timeout_s=TIMEOUT_S, given=script, folder=folder, env=env))
