"""Limits, permissions, usage and costs over the real openai SDK 3.x, its answers validated strictly."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.control.admin_keys import NewAdminKey, create_admin_key
from app.sandbox import RunningSandbox
from tests.contract.environments import output_of, python_with_openai
from tests.gateways import PEPPER, running_gateway

TIMEOUT_S = 120


@pytest.fixture
async def seen(anyio_backend: str, tmp_path: Path, relay: RunningSandbox) -> dict[str, Any]:
    """What a script saw that uses nothing but the SDK."""
    python = await asyncio.to_thread(python_with_openai, 3)
    async with running_gateway(tmp_path, relay.base_url) as gateway:
        given = {
            "url": gateway.url,
            "key": (await gateway.key()).key,
            "admin_key": (await create_admin_key(gateway.database, PEPPER, NewAdminKey("the script's"))).key,
            "project_id": "proj_default",
            "currency": "CNY",
            "start_time": await gateway.database.now_ms() // 1000 - 60,
        }
        found: dict[str, Any] = await _run(python, given)
        return found


async def test_the_sdk_sets_limits_that_hold_and_reads_what_was_used(seen: dict[str, Any]) -> None:
    buckets = seen.pop("buckets of all pages")
    told = [["seedream-3.0", "image.generation", 2, 2]]

    assert seen == {
        "rate limits": seen["rate limits"],
        "rate limit": ["rl-flux-kontext-pro", 1, 1_000_000_000],
        "bought within the rate": ["1 image", "rate_limit_exceeded"],
        "permissions at first": ["deny_list", []],
        "permissions": ["deny_list", ["gpt-image-1"]],
        "bought of the denied": "model_not_allowed",
        "permissions deleted": True,
        "bought within the limit": ["1 image", "1 image", "insufficient_quota"],
        "spend limit of the organization": [100_000, "month", "inactive"],
        "spend limit of the project": [16, "month", "enforcing"],
        "spend limits deleted": [True, True],
        "usage of 1m": told,
        "usage of 1h": told,
        "usage of 1d": told,
        "costs": [
            ["flux-kontext-pro, image.generation", 0.2, "cny", 1.0],
            ["seedream-3.0, image.generation", 0.16, "cny", 2.0],
        ],
    }
    assert len(seen["rate limits"]) == 5, "all pages of two"
    assert buckets in (6, 7), "five days ago, today and what lies between; one more where midnight passed"


async def _run(python: Path, given: dict[str, Any]) -> Any:
    program = (python, "-m", "tests.contract.admin_limits_usage")
    return json.loads(await output_of(*program, timeout_s=TIMEOUT_S, given=json.dumps(given).encode()))
