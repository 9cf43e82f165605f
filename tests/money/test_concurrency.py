"""A limit is a limit: no crowd, and no second process, gets past it; and nobody is kept out below it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.control.projects import create_project
from app.core.limits import Scope as LimitScope
from app.core.limits import Unit
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import Database, DatabaseUrl, open_database
from tests.gateways import RELAY_KEY, gateway_process, new_key, running_gateway, set_limit
from tests.held import HELD, answering
from tests.money.books import (
    GENERATIONS,
    ask,
    assert_bill_paid,
    assert_books_agree,
    assert_nothing_held,
    limited,
    opened,
    until,
    used,
)

CROWD = 200
ROOM = 40


class Gauge:
    """Counts how many requests the relay works on at once."""

    def __init__(self, app: ASGIApp, most: list[int]):
        self.app = app
        self.most = most
        self.now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != GENERATIONS:  # A gateway of a minute asks for its bill.
            await self.app(scope, receive, send)
            return
        self.now += 1
        self.most[0] = max(self.most[0], self.now)
        left = False

        async def send_and_leave(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.body" and not message.get("more_body") and not left:
                left = True
                self.now -= 1  # Before it is sent: the gateway may send the next one as soon as it has this.
            await send(message)

        try:
            await self.app(scope, receive, send_and_leave)
        finally:
            self.now -= not left


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["error"]
        return found


@dataclass(frozen=True, slots=True)
class Town:
    """Gateways before one database and one relay. `most` is how many requests the relay has had at once, `answered` how many of the
    last crowd the gateways have answered."""

    urls: list[str]
    database: Database
    relay: RunningSandbox
    most: list[int] = field(default_factory=lambda: [0])
    answered: list[int] = field(default_factory=lambda: [0])

    async def ask_all(self, key: str, crowd: int, prompt: str = "a cat", n: int = 1) -> list["Answer"]:
        """As many requests at once, spread evenly over the gateways. What a busy database puts off is sent again."""
        body = {"model": "gpt-image-1", "prompt": prompt, "n": n}
        headers = {"Authorization": f"Bearer {key}"}

        async def ask_at(url: str) -> Answer:
            while True:
                async with session.post(url + GENERATIONS, json=body) as answer:
                    if answer.status != 503 or answer.headers.get("x-should-retry") == "false":
                        self.answered[0] += 1
                        return Answer(answer.status, answer.headers, await answer.json())
                    await asyncio.sleep(float(answer.headers["retry-after"]))

        self.answered[0] = 0

        # Not with httpx2: two hundred of its calls take longer than what is tried here.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
            return await asyncio.gather(*(ask_at(self.urls[number % len(self.urls)]) for number in range(crowd)))

    async def assert_sound(self) -> None:
        await assert_books_agree(self.database)
        await assert_nothing_held(self.database)
        await assert_bill_paid(self.database, self.relay)


@pytest.fixture(scope="module")
async def town(kind: str, shared_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """SQLite: one gateway, in this process. PostgreSQL: two, each a process of its own."""
    folder, most = tmp_path_factory.mktemp("town"), [0]
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)))
        relay.sandbox.app.add_middleware(Gauge, most=most)
        if kind == "sqlite":
            running = await stack.enter_async_context(running_gateway(folder, relay.base_url))
            yield Town([running.url], running.database, relay, most)
            return
        starts = [gateway_process(folder / name, relay.base_url, database_url=shared_url) for name in "ab"]
        processes = [await stack.enter_async_context(start) for start in starts]
        database = open_database(DatabaseUrl.of(shared_url, folder))
        stack.push_async_callback(database.close)
        yield Town([process.url for process in processes], database, relay, most)


def assert_refused_for_good(answer: Answer) -> None:
    """429, and the SDKs do not try again."""
    error = answer.error
    assert (answer.status, error["type"], error["code"]) == (429, "insufficient_quota", "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers


def assert_shared_out(answers: list[Answer], granted: int) -> None:
    """Exactly `granted` pictures; every other one was refused."""
    assert Counter(answer.status for answer in answers) == {200: granted, 429: len(answers) - granted}
    for answer in answers:
        if answer.status == 429:
            assert_refused_for_good(answer)
        else:
            assert answer.body["data"][0]["b64_json"]


async def test_200_at_once_against_a_spend_limit_for_40_buy_exactly_40(town: Town, name: str) -> None:
    key = await new_key(town.database, name)
    await set_limit(town.database, "user", name, "micros", "month", ROOM * 1_000_000)

    answers = await town.ask_all(key.key, CROWD)

    assert_shared_out(answers, ROOM)
    assert any("has 0.00 CNY left of 40.00 CNY" in a.error["message"] for a in answers if a.status == 429)
    assert await used(town.database, name) == [(ROOM * 1_000_000, 0)]
    await town.assert_sound()


async def test_an_image_quota_counts_every_image_of_a_crowd_that_asks_for_two(town: Town, name: str) -> None:
    key = await new_key(town.database, name)
    await set_limit(town.database, "user", name, "images", "day", 2 * ROOM + 1)

    answers = await town.ask_all(key.key, CROWD // 2, n=2)

    assert_shared_out(answers, ROOM)  # One image is left over: not enough for two.
    assert all(len(answer.body["data"]) == 2 for answer in answers if answer.status == 200)
    assert await used(town.database, name, "images") == [(2 * ROOM, 0)]
    await town.assert_sound()


@pytest.mark.parametrize(
    ("tight", "unit"), [("organization", "micros"), ("project", "images"), ("user", "micros"), ("key", "requests")]
)
async def test_of_limits_at_all_four_scopes_the_tight_one_decides(
    town: Town, name: str, tight: LimitScope, unit: Unit
) -> None:
    await create_project(town.database, name)
    key = await new_key(town.database, name, project=name)
    places: dict[LimitScope, str] = {"organization": "", "project": name, "user": name, "key": key.id}
    used_up = 0
    if tight == "organization":  # Everybody's counter: what other tests have spent is in it.
        await set_limit(town.database, tight, "", "micros", "month", 10**13)
        used_up = sum(c["spent"] for c in await limited(town.database) if c["scope"] == tight)
    for scope, reference in places.items():
        await set_limit(town.database, scope, reference, "micros", "month", 10**13)
        await set_limit(town.database, scope, reference, "images", "day", 10**6)
    room = used_up + ROOM * {"micros": 1_000_000}.get(unit, 1)
    await set_limit(town.database, tight, places[tight], unit, "month" if unit == "micros" else "week", room)

    answers = await town.ask_all(key.key, CROWD // 2)
    for of_unit, interval in (("micros", "month"), ("images", "day")):
        await set_limit(town.database, "organization", "", of_unit, interval, None)  # type: ignore[arg-type]

    assert_shared_out(answers, ROOM)
    named = {"organization": "organization", "project": f"project {name}", "user": f"user {name}", "key": "key"}[tight]
    assert all(f"of {named}" in a.error["message"] for a in answers if a.status == 429)
    await town.assert_sound()


async def test_an_in_flight_limit_lets_no_more_than_so_many_reach_the_relay_at_once(town: Town, name: str) -> None:
    key = await new_key(town.database, name)
    await set_limit(town.database, "key", key.id, "in_flight", "lifetime", 3)
    town.most[0] = 0

    async def all_have_come() -> bool:
        return town.answered[0] + town.most[0] == 60

    asking = asyncio.create_task(town.ask_all(key.key, 60, HELD))
    await until(all_have_come)
    with answering(town.relay):
        answers = await asking

    assert Counter(answer.status for answer in answers) == {200: 3, 429: 57}
    for answer in answers:
        if answer.status == 429:
            error = answer.error
            assert (error["type"], error["code"]) == ("in_flight", "rate_limit_exceeded")
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert "x-should-retry" not in answer.headers
    assert town.most[0] == 3
    await town.assert_sound()


async def test_whoever_comes_again_finds_the_place_that_was_left(town: Town, name: str) -> None:
    key = await new_key(town.database, name)
    await set_limit(town.database, "user", name, "in_flight", "lifetime", 4)
    town.most[0] = 0

    async def until_bought(client: httpx2.AsyncClient) -> None:
        async def bought() -> bool:
            return (await ask(client)).status_code == 200

        await until(bought)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(opened(url, key.key)) for url in town.urls * (16 // len(town.urls))]
        async with asyncio.timeout(30):
            await asyncio.gather(*(until_bought(client) for client in clients))

    assert 1 <= town.most[0] <= 4
    assert await used(town.database, name, "in_flight") == [(0, 0)]
    await town.assert_sound()
