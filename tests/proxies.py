"""Real HTTP proxies, each a program of its own on a loopback port."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.server import free_port

USER, PASSWORD = "lin", "s3cret"


@contextlib.asynccontextmanager
async def running_proxy(kind: str, folder: Path) -> AsyncIterator[str]:
    """Run `proxy.py` or `tinyproxy`, which let USER through with PASSWORD only, and yield `host:port`."""
    port = free_port()
    command = _proxy_py(port) if kind == "proxy.py" else _tinyproxy(port, folder)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listens(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def is_installed(kind: str) -> bool:
    return kind == "proxy.py" or shutil.which(kind) is not None


def _proxy_py(port: int) -> list[str]:
    given = ("--hostname", "127.0.0.1", "--port", str(port), "--num-acceptors", "1", "--num-workers", "1")
    return [sys.executable, "-m", "proxy", *given, "--basic-auth", f"{USER}:{PASSWORD}", "--log-level", "ERROR"]


def _tinyproxy(port: int, folder: Path) -> list[str]:
    configuration = folder / "tinyproxy.conf"
    configuration.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nBasicAuth {USER} {PASSWORD}\n")
    return ["tinyproxy", "-d", "-c", str(configuration)]


async def _listens(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return
