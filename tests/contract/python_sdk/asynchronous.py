"""The asynchronous client."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.contract.python_sdk.bench import PNG_MAGIC, Bench, check, picture_of, same


@check()
def the_asynchronous_client_generates_edits_and_lists(bench: Bench) -> None:
    async def talk(client: Any) -> None:
        generated, edited = await asyncio.gather(
            client.images.generate(prompt=bench.prompt()),
            client.images.edit(prompt=bench.prompt(), image=[bench.pictures["png"], bench.pictures["jpeg"]]),
        )
        assert picture_of(generated.data[0]).startswith(PNG_MAGIC)
        assert picture_of(edited.data[0]).startswith(PNG_MAGIC)
        assert [model async for model in client.models.list()]

    _with_client(bench, talk)


@check()
def the_asynchronous_client_streams_to_the_last_event(bench: Bench) -> None:
    async def talk(client: Any) -> None:
        events = [event async for event in await client.images.generate(prompt=bench.prompt(), stream=True)]
        same([event.type for event in events], ["image_generation.completed"])

    _with_client(bench, talk)


@check()
def the_asynchronous_client_raises_the_same_errors(bench: Bench) -> None:
    async def talk(client: Any) -> None:
        try:
            await client.images.generate(prompt=bench.prompt("body=html"))
        except bench.openai.APIStatusError as exc:
            same((exc.status_code, exc.code), (424, "upstream_outcome_unknown"))
        else:
            raise AssertionError("no error")

    _with_client(bench, talk)
    same(len(bench.seen()), 1)


def _with_client(bench: Bench, talk: Callable[[Any], Awaitable[None]]) -> None:
    async def run() -> None:
        client = bench.openai.AsyncOpenAI(api_key=bench.keys["good"], base_url=f"{bench.gateway}/v1")
        async with client:
            await talk(client)

    asyncio.run(run())
