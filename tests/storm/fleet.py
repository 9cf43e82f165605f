"""The gateways of a storm: forked from one prepared process, killed, and started again on the same port and folder."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.images.crash import VARIABLE
from tests.forks import Fork, fork
from tests.server import free_port

STOP_S = 15.0
SHARED = ("results", "pictures")
TRACE_LINES = 24
LAST_LINES = 3
PORT_IN_USE = "Address already in use"


@dataclass
class Member:
    """One gateway of the fleet. Its folder and port stay, its processes come and go."""

    number: int
    folder: Path
    port: int
    environment: dict[str, str]
    pid: int | None = None
    started_at: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Fleet:
    """Gateways of a storm; one that dies is started again at once, until `stop`.

    `crashes` is what each start is told, in turn; `told` is the chronicle; `wrong` is what should not have happened.
    """

    members: list[Member]
    crashes: list[str | None]
    told: list[str] = field(default_factory=list)
    deaths: int = 0
    wrong: list[str] = field(default_factory=list)
    _stopping: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _restarts: set[asyncio.Task[None]] = field(default_factory=set)
    _watches: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        for member in self.members:
            await self._start(member)
        await self.until_ready()

    def urls(self) -> list[str]:
        return [member.url for member in self.members]

    async def revive(self, number: int) -> None:
        """Start one again after `stop`; it lives until the next."""
        self.crashes.clear()
        await self._start(self.members[number])
        async with asyncio.timeout(30):
            await _answers(self.members[number].port)

    def kill(self, number: int) -> None:
        """SIGKILL one, if it is there just now."""
        member = self.members[number]
        if member.pid is not None:
            self._tell(f"kill -9 gateway {number}")
            _send(member.pid, signal.SIGKILL)

    async def stop(self, *, gently: bool) -> None:
        """All of them, by SIGTERM or by SIGKILL. One that was asked and does not leave with 0 is noted in `wrong`."""
        if gently:
            await self.until_ready()  # One that is still starting has no manners yet.
        self._stopping = True
        await asyncio.gather(*self._restarts, return_exceptions=True)
        for member in self.members:
            if member.pid is not None:
                self._tell(f"{'SIGTERM' if gently else 'kill -9'} gateway {member.number}")
                _send(member.pid, signal.SIGTERM if gently else signal.SIGKILL)
        try:
            async with asyncio.timeout(STOP_S):
                await self._until(lambda: all(member.pid is None for member in self.members))
        except TimeoutError:
            self.wrong.append(f"a gateway did not leave within {STOP_S:.0f} s of SIGTERM")
            for member in self.members:
                if member.pid is not None:
                    _send(member.pid, signal.SIGKILL)
            await self._until(lambda: all(member.pid is None for member in self.members))

    async def until_ready(self) -> None:
        """Every gateway answers."""
        async with asyncio.timeout(30):
            for member in self.members:
                await _answers(member.port)

    def logs(self, containing: str) -> list[str]:
        """The lines of all gateways' logs that hold this text."""
        found = []
        for member in self.members:
            with suppress(FileNotFoundError):
                lines = (member.folder / "log").read_text(errors="replace").splitlines()
                found += [f"gateway {member.number}: {_readable(line)}" for line in lines if containing in line]
        return found

    async def _start(self, member: Member) -> None:
        crash = self.crashes.pop(0) if self.crashes else None
        environment = {**os.environ, **member.environment} | ({VARIABLE: crash} if crash else {})
        member.started_at = time.time()
        with (member.folder / "log").open("ab") as log:
            arguments = ["serve", "--port", str(member.port)]
            process = await fork(arguments, environment, member.folder, log.fileno(), log.fileno())
        member.pid = process.pid
        watching = asyncio.create_task(self._watch(process))
        self._watches.add(watching)
        watching.add_done_callback(self._watches.discard)
        self._tell(f"start gateway {member.number}, pid {member.pid}{f', to die {crash}' if crash else ''}")

    async def _watch(self, process: Fork) -> None:
        self._ended(process.pid, await process.wait())

    def _ended(self, pid: int, code: int) -> None:
        member = next((member for member in self.members if member.pid == pid), None)
        if member is None:
            return
        member.pid = None
        self._tell(f"gateway {member.number}, pid {pid}, ended with {code}")
        self.deaths += code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):
            last = "\n    ".join((member.folder / "log").read_text(errors="replace").splitlines()[-LAST_LINES:])
            # A child that its gateway was just starting when it was killed has the port until it runs: the next start gets it.
            if PORT_IN_USE not in last:
                self.wrong.append(f"gateway {member.number} ended by itself with {code}: {last}")
        self._changed.set()
        if not self._stopping:
            task = asyncio.create_task(self._start(member))
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()

    def _tell(self, words: str) -> None:
        self.told.append(f"{time.time():.3f} {words}")


def make_members(folder: Path, count: int, environment: dict[str, str]) -> list[Member]:
    """Folders are made; answers and pictures lie in one folder for all, as replicas share them."""
    members = []
    for name in SHARED:
        (folder / name).mkdir()
    for number in range(count):
        own = folder / f"gateway{number}"
        own.mkdir()
        share(folder, own)
        members.append(Member(number, own, free_port(), environment | {"IMAGEGATE_DATA_DIR": str(own)}))
    return members


def share(folder: Path, own: Path) -> None:
    """Let a gateway with the folder `own` use what all share in `folder`."""
    for name in SHARED:
        (own / name).symlink_to(folder / name)


def _send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended just now."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _readable(line: str) -> str:
    """A traceback is cut to its last places."""
    with suppress(ValueError):
        words = json.loads(line)
        if "exception" in words:
            ends = [f"    {part}" for part in words.pop("exception").splitlines()[-TRACE_LINES:]]
            return "\n".join([json.dumps(words), *ends])
    return line


async def _answers(port: int) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: storm\r\nConnection: close\r\n\r\n")
                if b" 200 " in await reader.readline():
                    return
            finally:
                writer.close()
        except OSError:
            pass
        await asyncio.sleep(0.01)
