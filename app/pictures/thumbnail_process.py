"""Process that makes thumbnails, seen from the gateway: started when it is needed, and one picture at a time."""

import asyncio
import json
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import StorageFull, Unavailable
from app.pictures import thumbnailer

WAIT_S = 120.0
"""Longest time for a picture. It is long because the process computes only while the machine has nothing else to do."""
_OWN_FAULT = (-getattr(signal, "SIGPROF", 27), -signal.SIGSEGV, -signal.SIGABRT)
"""Exit codes of a process that a picture has ended: too much computing, or a crash of its decoder."""


class NoThumbnail(Exception):
    """Raised for a picture that no thumbnail can be made of, however often it is tried."""


class ProcessEnded(Unavailable):
    """Raised when the process was killed, for lack of memory or by hand."""


@dataclass(slots=True)
class ThumbnailProcess:
    """Process at the lowest priority; it ends with the gateway at the latest, because its stdin ends then."""

    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def make(self, source: Path, target: Path) -> int:
        """Write the thumbnail of a picture; returns its bytes. Raises NoThumbnail, FileNotFoundError, StorageFull, and Unavailable
        when it took longer than WAIT_S."""
        try:
            async with asyncio.timeout(WAIT_S):
                answer = await self._ask({"source": str(source), "target": str(target)})
        except TimeoutError:
            await self.stop()
            raise Unavailable("The machine has no time to make a thumbnail now.") from None
        except BaseException:  # An order without its answer would be answered to the next one.
            await self.stop()
            raise
        if "bytes" in answer:
            return int(answer["bytes"])
        if "gone" in answer:
            raise FileNotFoundError(source)
        error = str(answer["error"])
        if error.startswith("OSError: [Errno"):
            raise StorageFull(f"No thumbnail can be written ({error.removeprefix('OSError: ')}).")
        raise NoThumbnail(error)

    async def stop(self) -> None:
        """End the process, which frees its memory; the next picture starts another."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def _ask(self, order: dict[str, str]) -> dict[str, Any]:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                thumbnailer.__file__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # A Ctrl-C in the terminal is for the gateway.
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = await process.wait()
        self._process = None
        if code in _OWN_FAULT:
            raise NoThumbnail(f"it ended the decoder ({code})")
        raise ProcessEnded(f"The process that makes thumbnails ended ({code}).")
