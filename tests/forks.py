"""Commands of `imagegate` as processes of their own, forked from one that has imported everything: `tests.fork_server`."""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).parents[1]
IMAGEGATE = "app.cli.root"
"""Module whose `run` is the command."""


class Fork:
    """A command that was started. `returncode` is its exit code, negative for a signal; None until somebody has waited for it."""

    def __init__(self, pid: int, status: asyncio.StreamReader):
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._waiting = asyncio.Lock()

    def send_signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end. Raises RuntimeError when the server of all forks is gone, and it with that."""
        async with self._waiting:
            if self.returncode is None:
                told = await self._status.readline()
                if not told:
                    raise RuntimeError(f"the server of all forks has ended, and with it process {self.pid}")
                self.returncode = int(told)
                await self._status.read()  # The end closes the pipe.
        return self.returncode


async def fork(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    out: int,
    err: int,
    module: str = IMAGEGATE,
) -> Fork:
    """Start `imagegate ARGUMENTS` in `folder`, with these descriptors as its stdout and stderr, which stay the caller's."""
    read, write = os.pipe()
    order = {"arguments": arguments, "environment": dict(environment), "folder": str(folder), "module": module}
    try:
        pid = _ask(_orders(), json.dumps(order).encode() + b"\n", [out, err, write])
    finally:
        os.close(write)
    return Fork(pid, await reading(read))


async def run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """Run a command to its end; its exit code, stdout and stderr."""
    with TemporaryFile() as out, TemporaryFile() as err:
        process = await fork(arguments, environment, folder, out.fileno(), err.fileno())
        code = await process.wait()
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(), err.read().decode()


async def reading(descriptor: int) -> asyncio.StreamReader:
    """Make the reader of a pipe's end, which it closes behind the last byte."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", 0))
    return reader


def _ask(orders: socket.socket, order: bytes, descriptors: list[int]) -> int:
    """Send an order and read the pid: a hundredth of a second, in which the event loop waits."""
    sent = socket.send_fds(orders, [order], descriptors)
    orders.sendall(order[sent:])
    answer = b""
    while not answer.endswith(b"\n"):
        if not (received := orders.recv(64)):
            raise RuntimeError("the server of all forks has ended")
        answer += received
    return int(answer)


@cache
def _orders() -> socket.socket:
    """Start the server, once in a process; it ends with it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.fork_server"]
    server = subprocess.Popen(command, cwd=ROOT, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
    theirs.close()
    atexit.register(_end, server, ours)
    return ours


def _end(server: subprocess.Popen[bytes], orders: socket.socket) -> None:
    orders.close()
    server.wait()


def start_server() -> None:
    """Let the server import what it needs while the caller does something else."""
    _orders()
