"""The application under servers that are not ours: plain uvicorn, Starlette's test client, and httpx2 without a server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from app.main import create_app
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from tests.faults.given import hang_up_while_locked
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.money.books import GENERATIONS

BODY = {"model": "gpt-image-1", "prompt": "a cat"}


@asynccontextmanager
async def gateway_and_relay(folder: Path) -> AsyncIterator[tuple[Running, RunningSandbox]]:
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay,
        running_gateway(folder, relay.base_url) as running,
    ):
        yield running, relay


@asynccontextmanager
async def plain_uvicorn(app: ASGIApp) -> AsyncIterator[tuple[str, int]]:
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    sock = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([sock]))
    try:
        yield sock.getsockname()
    finally:
        server.should_exit = server.force_exit = True
        await task


async def test_images_are_bought_without_a_server(tmp_path: Path) -> None:
    async with gateway_and_relay(tmp_path) as (running, _):
        key = (await running.key()).key
        transport = httpx2.ASGITransport(create_app(running.gateway))
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
            headers = {"Authorization": f"Bearer {key}"}
            plain = await client.post(GENERATIONS, json=BODY, headers=headers)
            stream = await client.post(GENERATIONS, json=BODY | {"stream": True}, headers=headers)
            later = await client.post(GENERATIONS, json=BODY, headers=headers | {"Prefer": "respond-async"})
            await running.gateway.background.finish(10)
            collected = await client.get(later.headers["location"] + "/result", headers=headers)
        rows = await running.rows()

    assert plain.json()["data"]
    assert "image_generation.completed" in stream.text
    assert collected.json()["data"]
    assert [row["state"] for row in rows] == ["settled"] * 3


def test_images_are_bought_in_starlette_s_test_client(tmp_path: Path) -> None:
    served: dict[str, Any] = {}

    async def delegate(scope: Scope, receive: Receive, send: Send) -> None:
        await served["app"](scope, receive, send)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with gateway_and_relay(tmp_path) as (running, _relay):
            served["key"] = (await running.key()).key
            served["app"] = create_app(running.gateway)
            yield

    outer = Starlette(lifespan=lifespan)
    outer.mount("/", delegate)

    with TestClient(outer) as client:
        answer = client.post(GENERATIONS, json=BODY, headers={"Authorization": f"Bearer {served['key']}"})
        models = client.get("/v1/models", headers={"Authorization": f"Bearer {served['key']}"})

    assert answer.json()["data"]
    assert answer.headers["x-imagegate-cost"] == "1.00"
    assert models.json()["data"]


async def test_nothing_is_sent_for_a_client_that_hangs_up_on_another_server(tmp_path: Path) -> None:
    async with (
        gateway_and_relay(tmp_path) as (running, relay),
        plain_uvicorn(create_app(running.gateway)) as (host, port),
    ):
        key = (await running.key()).key
        async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", timeout=60) as client:
            await client.post(GENERATIONS, json=BODY, headers={"Authorization": f"Bearer {key}"})
        await hang_up_while_locked(running, tmp_path, host, port, key)
        rows = await running.rows()

    assert [row["state"] for row in rows] == ["settled", "released"]
    assert len(relay.sandbox.bill) == 1
