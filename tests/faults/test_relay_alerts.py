"""Three gateways on one PostgreSQL whose relay answers garbage: people are told once, and once more when it is well again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.control.alerts import NewAlert, create_alert
from app.control.limits import ScopeRef
from app.control.relay_alerting import RelayAlerting
from app.core.alerts import Channel
from app.notify.webhook_secret import new_webhook_secret
from app.sandbox import RunningSandbox
from app.upstream.breaker import FAILURES_MAX
from tests.gateways import Running, running_gateway
from tests.money.books import ask, opened, until
from tests.receivers import WebhookReceiver, webhook_receiver

pytestmark = pytest.mark.slow
SILENT_MS = 300


@dataclass(frozen=True, slots=True)
class Trio:
    """Gateways on one database, a client of each, and who is told."""

    gateways: list[Running]
    hasty: list[RelayAlerting]
    """Work of the same gateways, for which a trouble is over after less silence."""
    clients: list[httpx2.AsyncClient]
    hook: WebhookReceiver
    secret: str

    def breakers(self) -> list[str]:
        return [each.breaker for running in self.gateways for each in running.gateway.relays.statuses()]

    def news(self) -> list[tuple[str, str, bool]]:
        """Relay, code and end of each message, in the order in which they came."""
        found = [each.verified(self.secret)["data"]["relay"] for each in self.hook.received]
        return [(each["name"], each["code"], each["is_over"]) for each in found]

    async def alert_work(self) -> None:
        """Let the gateways do all work of alerts at once, beside what they do by themselves."""
        all_chores = [running.gateway.chores for running in self.gateways]
        turns = [chores.run_once("alerts on relays") for chores in all_chores]
        await asyncio.gather(*turns, *(work.turn() for work in self.hasty))
        await asyncio.gather(*(chores.run_once("alert messages") for chores in all_chores))


@pytest.fixture
async def trio(tmp_path: Path, postgres_url: str, relay: RunningSandbox) -> AsyncIterator[Trio]:
    allowed: dict[str, Any] = {"webhook_allow_http": True, "webhook_allow_private": True}
    async with AsyncExitStack() as stack:
        hook, secret = await stack.enter_async_context(webhook_receiver()), new_webhook_secret()
        gateways = [
            await stack.enter_async_context(
                running_gateway(tmp_path / str(number), relay.base_url, database_url=postgres_url, **allowed)
            )
            for number in range(3)
        ]
        for running in gateways:
            rules = running.gateway.relays.rules.breakers
            rules.pause_s, rules.costly_max = 0.05, FAILURES_MAX["costly"]
        key = (await gateways[0].key()).key
        clients = [await stack.enter_async_context(opened(running.url, key)) for running in gateways]
        channels = (Channel("webhook", url=hook.url, secret=secret),)
        wanted = NewAlert(ScopeRef("organization", ""), "relays", "lifetime", 0, channels)
        await create_alert(gateways[0].database, gateways[0].gateway.notifier, wanted)
        parts = [(running.database, running.gateway.readiness.relays, running.gateway.zone) for running in gateways]
        yield Trio(gateways, [RelayAlerting(*each, 1_000_000, SILENT_MS) for each in parts], clients, hook, secret)


async def test_people_are_told_once_of_garbage_and_once_that_it_is_over(trio: Trio, relay: RunningSandbox) -> None:
    relay.sandbox.fault = "body=garbage"
    await asyncio.gather(*(ask(client) for client in trio.clients for _ in range(FAILURES_MAX["costly"])))
    assert "closed" not in trio.breakers()
    charged = len(relay.sandbox.bill)
    await trio.alert_work()
    await trio.hook.wait_for(1)
    relay.sandbox.fault = ""

    async def serve() -> bool:
        """True once every gateway has bought an image. Each tries its relay again by itself."""
        return all([(await ask(client)).status_code == 200 for client in trio.clients])

    async def told_of_the_end() -> bool:
        await trio.alert_work()
        return len(trio.hook.received) > 1

    await until(serve, 60)
    assert trio.breakers() == ["closed"] * 3
    await until(told_of_the_end, 60)
    for _ in range(3):
        await trio.alert_work()

    code = trio.news()[0][1]
    assert code in ("upstream_outcome_unknown", "upstream_bad_payload")
    assert trio.news() == [("default", code, False), ("default", code, True)]
    assert charged == 3 * FAILURES_MAX["costly"]
