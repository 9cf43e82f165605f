"""The Models API: what a key may buy, and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx2
import pytest

from app.control.prices import PriceEntry, set_price
from app.core.pricing import PerImage
from app.sandbox import RunningSandbox
from tests.gateways import Running, running_gateway


@pytest.fixture
async def running(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, relay.base_url) as gateway:
        yield gateway


async def ask(running: Running, path: str) -> httpx2.Response:
    key = await running.key("lin")
    async with httpx2.AsyncClient(
        base_url=running.url, headers={"Authorization": f"Bearer {key.key}"}, verify=False, timeout=60
    ) as http:
        return await http.get(path)


@pytest.mark.parametrize("name", ["imagen4", "nothing", "gpt-image-1%2fx"])
async def test_a_model_that_cannot_be_bought_is_not_found(running: Running, name: str) -> None:
    answer = await ask(running, f"/v1/models/{name}")

    assert answer.status_code == 404
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize(
    "path", ["/v1/models/stability%2Fultra", "/models/stability%2Fultra", "/v1/models/stability/ultra"]
)
async def test_a_name_with_a_slash_is_found_as_the_sdks_write_it(running: Running, path: str) -> None:
    await set_price(running.database, ZoneInfo("UTC"), PriceEntry("stability/ultra", PerImage(10)))
    running.gateway.control_data.expire()

    answer = await ask(running, path)

    assert answer.json()["id"] == "stability/ultra"


async def test_calls_from_one_address_are_guarded(tmp_path: Path, relay: RunningSandbox) -> None:
    async with running_gateway(tmp_path, relay.base_url, guard_models_per_minute=2) as running:
        answers = [await ask(running, "/v1/models") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60


async def test_wrong_keys_from_one_address_are_guarded_and_right_ones_still_pass(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    async with running_gateway(tmp_path, relay.base_url, guard_bad_keys_per_minute=2) as running:
        async with httpx2.AsyncClient(
            base_url=running.url, headers={"Authorization": "Bearer sk-wrong"}, verify=False, timeout=60
        ) as http:
            refused = [(await http.get("/v1/models")).status_code for _ in range(3)]
        right = await ask(running, "/v1/models")

    assert refused == [401, 401, 429]
    assert right.status_code == 200
