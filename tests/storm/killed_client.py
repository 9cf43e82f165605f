"""`python3 dev.py storm killed-client`: the client dies in the middle of a generation, its picture is there all the same.

A process of each stock SDK asks for a picture that takes a minute, and is killed with SIGKILL after five seconds.
"""

import argparse
import asyncio
import base64
import json
import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import DatabaseUrl, open_database
from tests.gateways import RELAY_KEY, book, gateway_process, new_key, prepare
from tests.storm.sdk_calls import MAGIC
from tests.storm.sdks import SdkCall, sdk_process, sdks_here
from tests.storm.shapes import Sdk
from tests.storm.worlds import Gateway

ARRIVAL_S = 60.0
PATIENCE_S = 60.0
"""How long after its end a picture may take to be collected."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """Result for one killed client. `charges`: at the relay, for this call."""

    sdk: str
    request_id: str
    state_at_kill: str
    state: str
    cost: str | None
    picture_bytes: int
    charges: int

    @property
    def good(self) -> bool:
        return self.state == "settled" and self.picture_bytes > 0 and self.charges == 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 dev.py storm killed-client", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the picture takes")
    parser.add_argument(
        "--kill", type=float, default=5.0, help="when the client is killed, after its request has arrived"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imagegate-killed-", ignore_cleanup_errors=True) as folder:
        survivors, wrong = asyncio.run(kill_clients(Path(folder), given.seconds, given.kill, sdks_here()))
    if given.json:
        print(json.dumps({"calls": [asdict(one) for one in survivors], "wrong": wrong}))
    else:
        print("\n".join([*(sentence(one) for one in survivors), *(f"WRONG {words}" for words in wrong)]))
    return 0 if all(one.good for one in survivors) and not wrong else 1


async def kill_clients(
    folder: Path, seconds: float, kill_s: float, sdks: tuple[Sdk, ...]
) -> tuple[list[Survivor], list[str]]:
    """One client of each SDK, at once; and what is wrong between the book and the bill."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)))
        where = DatabaseUrl.of(None, folder)
        await prepare(where)
        process = await stack.enter_async_context(gateway_process(folder, relay.base_url))
        database = open_database(where)
        stack.push_async_callback(database.close)
        scene = Scene(relay, f"{process.url}/v1", Gateway(process, database), seconds, kill_s)
        survivors = await asyncio.gather(*(scene.kill(sdk) for sdk in sdks))
        return list(survivors), await scene.gateway.wrong(len(relay.sandbox.bill))


@dataclass(frozen=True, slots=True)
class Scene:
    relay: RunningSandbox
    url: str
    gateway: Gateway
    seconds: float
    kill_s: float

    async def kill(self, sdk: Sdk) -> Survivor:
        """Have a client with a key of its own ask, kill it, and collect what it asked for."""
        key = await new_key(self.gateway.database, sdk)
        marker = f"storm-killed-{sdk}"
        prompt = f"a cat in a {marker} of roses [[sandbox delay={self.seconds}]]"
        async with sdk_process(sdk, key.key, [SdkCall(marker, self.url, prompt)]) as process:
            await self._arrived(marker)
            await asyncio.sleep(self.kill_s)
            assert process.returncode is None, "it ended before it could be killed"
            process.kill()
            await process.wait()
        [request_id] = [row["id"] for row in await book(self.gateway.database) if row["api_key_id"] == key.id]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.key}"}) as session:
            at_kill = await self._shown(session, request_id)
            shown = await self._ended(session, request_id)
            picture = await self._collected(session, request_id)
        charges = self._charges(marker)
        return Survivor(sdk, request_id, at_kill["state"], shown["state"], shown["cost"], len(picture), charges)

    async def _arrived(self, marker: str) -> None:
        async with asyncio.timeout(ARRIVAL_S):
            while not self._charges(marker):
                await asyncio.sleep(0.05)

    def _charges(self, marker: str) -> int:
        sandbox = self.relay.sandbox
        mine = {seen.request_id for seen in sandbox.seen if f"{marker} " in seen.fields.get("prompt", "")}
        return sum(charge.request_id in mine for charge in sandbox.bill)

    async def _shown(self, session: aiohttp.ClientSession, request_id: str) -> dict[str, Any]:
        async with session.get(f"{self.url}/images/requests/{request_id}") as answer:
            document: dict[str, Any] = await answer.json()
        return document

    async def _ended(self, session: aiohttp.ClientSession, request_id: str) -> dict[str, Any]:
        async with asyncio.timeout(self.seconds + PATIENCE_S):
            while (shown := await self._shown(session, request_id))["ended_at"] is None:
                await asyncio.sleep(0.1)
        return shown

    async def _collected(self, session: aiohttp.ClientSession, request_id: str) -> bytes:
        """The picture; empty when what came is none."""
        async with session.get(f"{self.url}/images/requests/{request_id}/result") as answer:
            document = await answer.json()
        if answer.status != 200:
            return b""
        picture = base64.b64decode(document["data"][0]["b64_json"], validate=True)
        return picture if picture.startswith(MAGIC) else b""


def sentence(one: Survivor) -> str:
    return (
        f"{one.sdk}: killed while {one.state_at_kill}; {one.request_id} was {one.state} for {one.cost}, a picture of "
        f"{one.picture_bytes:,} bytes was collected, {one.charges} charge: {'ok' if one.good else 'WRONG'}"
    )
