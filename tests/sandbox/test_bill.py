"""The bill, and what the relay tells about it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import httpx2
import pytest

from app.sandbox import RunningSandbox
from tests.sandbox.calls import KEY, Caller

only_c = pytest.mark.parametrize("profile", ["C"], indirect=True)
only_n = pytest.mark.parametrize("profile", ["N"], indirect=True)


async def test_the_charge_stands_on_the_bill_before_the_answer_begins(call: Caller, running: RunningSandbox) -> None:
    document = {"model": "seedream-3.0", "prompt": "a fox", "n": 3}
    async with call.client.stream("POST", "/v1/images/generations", json=document) as answer:
        bill = list(running.sandbox.bill)
        id_ = answer.headers["x-oneapi-request-id"]

    assert [(line.request_id, line.model, line.operation, line.n, line.images) for line in bill] == [
        (id_, "seedream-3.0", "generation", 3, 3)
    ]
    assert (bill[0].points, bill[0].micros) == (120_000, 240_000)


@pytest.mark.parametrize(
    ("model", "micros"),
    [
        ("gpt-image-1", 1_000_000),
        ("seedream-3.0", 80_000),
        ("imagen4", 200_000),
        ("flux-kontext-pro", 200_000),
        ("flux-kontext-max", 400_000),
    ],
)
async def test_each_model_costs_its_published_price(
    call: Caller, running: RunningSandbox, model: str, micros: int
) -> None:
    await call.generate(model=model)

    assert [line.micros for line in running.sandbox.bill] == [micros]


async def test_c_bills_what_was_asked_and_n_what_came(call: Caller, running: RunningSandbox, profile: str) -> None:
    await call.hinted("images=1", model="seedream-3.0", n=3)
    await call.hinted("images=1", model="imagen4", n=3)

    assert [line.micros for line in running.sandbox.bill] == [240_000 if profile == "C" else 80_000, 600_000]


async def test_only_c_multiplies_by_the_size(call: Caller, running: RunningSandbox, profile: str) -> None:
    await call.generate(model="imagen4", size="1024x1792")

    assert running.sandbox.bill[0].micros == (400_000 if profile == "C" else 200_000)


async def test_a_caller_that_leaves_is_billed(call: Caller, running: RunningSandbox) -> None:
    calling = asyncio.create_task(call.hinted("delay=60"))
    while not running.sandbox.bill:
        await asyncio.sleep(0.01)
    calling.cancel()
    await asyncio.wait({calling})

    assert len(running.sandbox.bill) == 1


async def test_used_totals_follow_the_bill(call: Caller) -> None:
    await call.generate()
    await call.generate(model="seedream-3.0")

    for prefix in ("", "/v1"):
        usage = (await call.client.get(f"{prefix}/dashboard/billing/usage?start_date=2020-01-01")).json()
        assert usage == {"object": "list", "total_usage": 108.0}
        limits = (await call.client.get(f"{prefix}/dashboard/billing/subscription")).json()
        assert limits["hard_limit_usd"] == 100_000_000


async def test_the_log_is_read_with_the_key_in_the_profiles_way(call: Caller, profile: str) -> None:
    id_ = (await call.generate(model="imagen4", n=2)).headers["x-oneapi-request-id"]
    await call.generate()

    asked = f"/api/log/token?key={KEY}" if profile == "C" else "/api/log/token"
    rows = (await call.client.get(asked)).json()["data"]
    assert [(row["type"], row["model_name"], row["quota"]) for row in rows] == [
        (2, "gpt-image-1", 500_000),
        (2, "imagen4", 200_000),
    ]
    assert rows[1].get("request_id") == (None if profile == "C" else id_)
    assert json.loads(rows[0]["other"])["model_price"] == 1.0


@only_c
async def test_c_gives_no_log_to_a_bearer_and_no_token_usage(call: Caller) -> None:
    assert (await call.client.get("/api/log/token")).status_code == 401
    assert (await call.client.get("/api/usage/token/")).status_code == 404


@only_n
async def test_n_tells_token_usage_in_points(call: Caller) -> None:
    await call.generate()

    assert (await call.client.get("/api/usage/token")).status_code == 307
    usage = (await call.client.get("/api/usage/token/")).json()["data"]
    assert (usage["total_used"], usage["unlimited_quota"]) == (500_000, True)


async def test_prices_and_the_unit_are_public(call: Caller) -> None:
    status = (await call.client.get("/api/status", headers={"Authorization": ""})).json()
    prices = (await call.client.get("/api/pricing", headers={"Authorization": ""})).json()

    assert status["data"]["quota_per_unit"] == 500_000
    assert {row["model_name"]: row["model_price"] for row in prices["data"]}["seedream-3.0"] == 0.08


async def test_models_are_listed_but_only_built_in_ones_are_found_singly(call: Caller, profile: str) -> None:
    listed = (await call.client.get("/v1/models")).json()
    built_in = await call.client.get("/v1/models/gpt-image-1")
    own = await call.client.get("/v1/models/flux-kontext-pro")

    assert {"gpt-image-1", "flux-kontext-pro"} < {model["id"] for model in listed["data"]}
    assert ("object" in listed) == (profile == "N")
    assert built_in.json()["id"] == "gpt-image-1"
    assert (own.status_code, own.json()["error"]["code"]) == (200, "model_not_found")


@pytest.fixture
async def process() -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = ("-m", "app.sandbox", "--port", "0", "--key", KEY, "--profile", "N", "--latency-scale", "0")
    started = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    yield started
    started.terminate()
    await started.wait()


async def test_it_runs_as_a_process_of_its_own(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    base_url = (await process.stdout.readline()).decode().strip()
    async with httpx2.AsyncClient(base_url=base_url, timeout=60) as client:
        answer = await client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"})

    assert answer.status_code == 200
