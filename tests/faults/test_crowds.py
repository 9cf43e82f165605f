"""One key or user that opens, sends or waits for too much is refused, and others buy as before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2

from app.control.keys import CreatedKey
from app.sandbox import RunningSandbox
from tests.faults.conftest import StartGateway
from tests.gateways import Running
from tests.held import HELD, answering
from tests.images.client import SMALL, Client, until

SLOW = SMALL | {"prompt": HELD}


async def test_one_owner_takes_no_more_than_its_share(gateways: StartGateway, relay: RunningSandbox) -> None:
    running = await gateways(in_flight_max=4)  # Of which the default gives a half.
    async with httpx2.AsyncClient(base_url=running.url, timeout=60) as http:
        keys = [await running.key("mia"), await running.key("mia")]
        mia, mias_other = (Client(http, key, relay, running) for key in keys)
        tom = Client(http, await running.key("tom"), relay, running)
        hanging = [asyncio.create_task(client.ask(SLOW | {"n": n})) for n, client in enumerate((mia, mias_other), 1)]
        await until(lambda: running.gateway.image_service.in_flight == 2)

        refused, bought = await mia.ask(SMALL), await tom.ask(SMALL)
        with answering(relay):
            await asyncio.gather(*hanging)

    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (429, "in_flight", "rate_limit_exceeded")
    assert error["message"].startswith("2 requests of yours are in progress")
    assert int(refused.headers["retry-after"]) > 0
    assert bought.status_code == 200


async def test_unfinished_bodies_of_one_key_leave_room_for_others(
    gateways: StartGateway, relay: RunningSandbox
) -> None:
    running = await gateways(open_bodies_max=30)
    mia, tom = await running.key("mia"), await running.key("tom")
    async with httpx2.AsyncClient(base_url=running.url, timeout=60) as http:
        async with unfinished_bodies(running, mia, 3):
            refused, bought = (
                await Client(http, mia, relay, running).ask(SMALL),
                await Client(http, tom, relay, running).ask(SMALL),
            )
            assert (refused.status_code, bought.status_code) == (429, 200)
            assert refused.json()["error"]["message"].startswith("3 bodies of this API key are being read")
        await bought_in_the_end(Client(http, mia, relay, running))


async def test_a_key_that_has_nothing_left_has_two_bodies(gateways: StartGateway, relay: RunningSandbox) -> None:
    running = await gateways()
    mia = await running.key("mia")
    await running.limit("user", "mia", "micros", "month", 0)
    async with httpx2.AsyncClient(base_url=running.url, timeout=60) as http:
        client = Client(http, mia, relay, running)
        assert (await client.ask(SMALL)).json()["error"]["code"] == "insufficient_quota"
        async with unfinished_bodies(running, mia, 2):
            refused = await client.ask(SMALL)

    assert refused.json()["error"]["message"].startswith("2 bodies of this API key are being read")


async def test_the_bytes_of_unfinished_bodies_are_bounded(gateways: StartGateway, relay: RunningSandbox) -> None:
    running = await gateways(open_bodies_bytes_max=400_000, upload_bytes_max=100_000)
    mia = await running.key("mia")
    async with unfinished_bodies(running, mia, 2, b"x" * 90_000) as [_, (reader, _)]:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)

    assert b" 429 " in head.splitlines()[0]


async def test_unfinished_bodies_of_many_keys_are_bounded_too(gateways: StartGateway, relay: RunningSandbox) -> None:
    running = await gateways(open_bodies_max=2)
    mia, tom, bo = [await running.key(name) for name in ("mia", "tom", "bo")]
    async with (
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
        unfinished_bodies(running, mia, 1),
        unfinished_bodies(running, tom, 1),
    ):
        refused = await Client(http, bo, relay, running).ask(SMALL)

    assert refused.status_code == 429
    assert refused.json()["error"]["message"].startswith("2 bodies are being read, the most for one gateway")


async def test_the_bytes_of_unfinished_bodies_of_many_keys_are_bounded_too(gateways: StartGateway) -> None:
    running = await gateways(open_bodies_bytes_max=200_000, upload_bytes_max=100_000)
    async with AsyncExitStack() as stack:
        heads = []
        for name in ("mia", "tom", "bo"):
            begun = unfinished_bodies(running, await running.key(name), 1, b"x" * 90_000)
            [(reader, _)] = await stack.enter_async_context(begun)
            heads.append(asyncio.create_task(reader.readuntil(b"\r\n\r\n")))
        answered, waiting = await asyncio.wait(heads, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    assert [b" 429 " in task.result() for task in answered] == [True]


@asynccontextmanager
async def unfinished_bodies(
    running: Running, key: CreatedKey, count: int, begun: bytes = b"{"
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Open requests that announce a body of 99,999 bytes and send `begun` of it; the gateway has begun to read each."""
    host, port = running.url.removeprefix("http://").split(":")
    head = (
        "POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n"
        f"Authorization: Bearer {key.key}\r\nExpect: 100-continue\r\n\r\n"
    )
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            writer.write(head.encode())
            assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
            writer.write(begun)
            opened.append((reader, writer))
        yield opened


async def bought_in_the_end(client: Client) -> None:
    """Wait until the gateway has noticed that the other connections are closed."""
    async with asyncio.timeout(30):
        while (await client.ask(SMALL)).status_code != 200:
            await asyncio.sleep(0.02)
