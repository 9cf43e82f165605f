"""A sandbox relay for tests that are not async: it runs in an event loop of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.sandbox import SandboxOptions, running_sandbox
from tests.gateways import RELAY_KEY


@contextmanager
def sandbox_in_a_thread() -> Iterator[str]:
    """Run a sandbox in a thread; yields its address."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []
    done = asyncio.Event()

    async def serve() -> None:
        async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as running:
            found.append(running.base_url)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
        loop.close()
