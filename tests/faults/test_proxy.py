"""Buying from a relay that is reached through a proxy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.sandbox import RunningSandbox
from tests.faults.conftest import StartGateway
from tests.money.books import ask, opened
from tests.proxies import PASSWORD, USER, running_proxy


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[str]:
    async with running_proxy("proxy.py", tmp_path) as address:
        yield address


async def test_a_picture_is_bought_through_a_proxy(
    gateways: StartGateway, relay: RunningSandbox, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"{USER}:{PASSWORD}@{proxy}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    running = await gateways(upstream_proxy="env")
    monkeypatch.delenv("http_proxy")  # It was read at the start.

    async with opened(running.url, (await running.key()).key) as client:
        answer = await ask(client)

    assert answer.status_code == 200
    assert [row["state"] for row in await running.rows()] == ["settled"]
    assert len(relay.sandbox.bill) == 1


async def test_a_proxy_that_wants_another_password_is_our_misconfiguration_and_costs_nothing(
    gateways: StartGateway, relay: RunningSandbox, proxy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running = await gateways(upstream_proxy=f"http://{USER}:not-{PASSWORD}@{proxy}")

    async with opened(running.url, (await running.key()).key) as client:
        answer = await ask(client)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_misconfigured")
    assert [row["state"] for row in await running.rows()] == ["released"]
    assert relay.sandbox.bill == []
    said = answer.text + "".join(capsys.readouterr())
    assert "IMAGEGATE_UPSTREAM_PROXY" in answer.text
    assert PASSWORD not in said
