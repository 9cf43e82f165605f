"""A process without file descriptors: refused before anything is bought."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from app.sandbox import RunningSandbox
from tests.faults.conftest import StartGateway
from tests.images.client import LARGE, Client


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Take every descriptor that this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(fd.name) for fd in Path("/dev/fd").iterdir()) + 1, hard))
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


async def test_without_a_descriptor_for_the_answer_nothing_is_bought(
    gateways: StartGateway, relay: RunningSandbox
) -> None:
    running = await gateways()
    async with httpx2.AsyncClient(base_url=running.url, timeout=60) as http:
        client = Client(http, await running.key(), relay, running)
        first = await client.ask(LARGE)  # Its connections stay open, and the next request needs no new ones.
        with no_descriptor_left():
            refused = await client.ask(LARGE | {"prompt": "a cat"})
        bought = await client.ask(LARGE | {"prompt": "a dog"})

    error = refused.json()["error"]
    assert (first.status_code, bought.status_code, client.charges) == (200, 200, 2)
    assert (refused.status_code, error["code"]) == (503, "overloaded")
    assert "no file descriptor left" in error["message"] and int(refused.headers["retry-after"]) > 0
    assert await client.states() == ["released", "settled", "settled"]
