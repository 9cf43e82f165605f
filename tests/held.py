"""Requests that a relay answers when the test says so, and not after a time: a slow machine needs more of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.sandbox import RunningSandbox

HELD: Final = "[[sandbox delay=60]] a cat"
"""Prompt of a request whose answer the relay holds back."""


@contextmanager
def answering(relay: RunningSandbox) -> Iterator[None]:
    """Let the relay send the answers that it holds back; one that tests share holds the next ones back again."""
    relay.sandbox.hurry.set()
    try:
        yield
    finally:
        relay.sandbox.hurry.clear()
