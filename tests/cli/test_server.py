"""The server's manners."""

import asyncio
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from app.cli.server import HELD_BYTES_MAX, Corked

SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from app.cli.server import allow_many_files
allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_low_limit_of_open_files_is_raised_as_far_as_may_be() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout

    soft, hard = map(int, said.split())
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))


@pytest.fixture
async def corked(anyio_backend: str) -> AsyncIterator[tuple[Corked, socket.socket]]:
    """A transport, and the other end of its connection."""
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    yield Corked(transport, loop), far
    transport.close()
    far.close()


async def test_what_is_written_in_one_turn_leaves_together(corked: tuple[Corked, socket.socket]) -> None:
    transport, far = corked
    transport.write(b"head ")
    transport.write(b"body")
    with pytest.raises(BlockingIOError):
        far.recv(1000)

    await asyncio.sleep(0)
    assert far.recv(1000) == b"head body"


async def test_a_large_piece_leaves_at_once_behind_what_was_written_before(
    corked: tuple[Corked, socket.socket],
) -> None:
    transport, far = corked
    transport.write(b"head ")
    transport.write(bytes(HELD_BYTES_MAX + 1))

    assert far.recv(100) == b"head " + bytes(95)


async def test_what_was_written_leaves_before_the_connection_closes(corked: tuple[Corked, socket.socket]) -> None:
    transport, far = corked
    transport.write(b"last words")
    transport.close()
    await asyncio.sleep(0)

    assert far.recv(1000) == b"last words"
