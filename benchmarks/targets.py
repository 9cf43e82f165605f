"""Targets of a measurement: the relay directly, nginx before it, and gateways of a checkout. All on loopback."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.books import Books, read_books
from benchmarks.processes import Upstream, end
from tests.server import free_port

ROOT = Path(__file__).resolve().parents[1]
START_S = 60.0
RELAY_KEY = "sk-the-relay-key-of-the-benchmarks-0123456789"
PLENTY = str(10**9)
_RUN = "import sys; sys.argv[0] = 'imagegate'; from app.cli import main; sys.exit(main())"


class Target(Protocol):
    """Server of image requests. `pids` is empty if nothing stands between client and relay."""

    @property
    def name(self) -> str: ...
    @property
    def ports(self) -> tuple[int, ...]: ...
    @property
    def pids(self) -> tuple[int, ...]: ...
    @property
    def key(self) -> str: ...
    @property
    def tls(self) -> bool:
        """True if its relay is behind TLS."""
        ...

    async def start(self, *, tls: bool) -> float:
        """Seconds until it was ready."""
        ...

    async def stop(self) -> None: ...

    async def books(self) -> Books | None:
        """Return the state of the book; None if the target has none."""
        ...

    def clear(self) -> None:
        """Remove what a measurement has left on the disk."""


@dataclass
class Direct:
    """The relay itself: what clients, relay and machine are capable of."""

    upstream: Upstream
    name: str = "direct"
    pids: tuple[int, ...] = ()
    key: str = "none"
    tls: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.upstream.port,)

    async def start(self, *, tls: bool) -> float:  # noqa: ARG002  (its clients speak plain HTTP)
        return 0.0

    async def stop(self) -> None:
        pass

    async def books(self) -> Books | None:
        return None

    def clear(self) -> None:
        pass


class Nginx:
    """A proxy that does nothing else, one worker, buffering as it is by default: the physical limit."""

    name, key = "nginx", "none"

    def __init__(self, program: str, folder: Path, upstream: Upstream):
        self.ports = (free_port(),)
        self.pids: tuple[int, ...] = ()
        self.tls = False
        self._folder, self._program, self._upstream = folder, program, upstream
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir()

    async def start(self, *, tls: bool) -> float:
        self.tls = tls
        self._configure()
        began = time.perf_counter()
        where = ("-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), "-e", str(self._folder / "log"))
        self._process = await asyncio.create_subprocess_exec(self._program, *where)
        self.pids = (self._process.pid,)
        async with asyncio.timeout(START_S):
            await _listening(self.ports[0])
        return time.perf_counter() - began

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process)
            self._process, self.pids = None, ()

    async def books(self) -> Books | None:
        return None

    def clear(self) -> None:
        pass

    def _configure(self) -> None:
        scheme, _, address = self._upstream.url(tls=self.tls).partition("://")
        configuration = _NGINX.replace("FOLDER", str(self._folder)).replace("PORT", str(self.ports[0]))
        configuration = configuration.replace("SCHEME", scheme).replace("ADDRESS", address)
        if os.geteuid() == 0:  # Its worker would be nobody, and could not spool uploads in our folder.
            configuration = f"user root;{configuration}"
        (self._folder / "nginx.conf").write_text(configuration)


def nginx_program() -> str | None:
    return os.environ.get("IMAGEGATE_BENCH_NGINX") or shutil.which("nginx")


class Imagegate:
    """Gateways of the checkout at `root`, on one database: everything on, and limits of every scope far above the load."""

    def __init__(
        self,
        name: str,
        folder: Path,
        upstream: Upstream,
        *,
        root: Path = ROOT,
        database_url: str | None = None,
        redis_url: str | None = None,
        processes: int = 1,
        settings: Mapping[str, str] | None = None,
    ):
        self.name = name
        self.key = ""
        self.ports: tuple[int, ...] = ()
        self.pids: tuple[int, ...] = ()
        self.tls = False
        self._upstream = upstream
        self._database_url = database_url
        self._folders = [folder / str(number) for number in range(processes)]
        self._processes: list[asyncio.subprocess.Process] = []
        given = {
            "upstream_api_key": RELAY_KEY,
            "secret_key": "a pepper for the benchmarks, long enough",
            "database_url": database_url,
            "redis_url": redis_url,
            "log_json": "true",
            **(settings or {}),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEGATE_")}
        ours = {f"IMAGEGATE_{name.upper()}": value for name, value in given.items() if value is not None}
        self._environment = kept | ours | {"PYTHONPATH": str(root)}

    async def set_up(self) -> None:
        """Make the database, a key, and its limits."""
        for folder in self._folders:
            folder.mkdir(parents=True)
        await self.command("db", "upgrade")
        await self.command("users", "create", "lin")
        self.key = json.loads(await self.command("keys", "create", "--user", "lin", "--json"))["key"]
        await self.command("limits", "set", "--organization", "--spend", PLENTY, "--spend-per", "month")
        of_user = (
            "--user",
            "lin",
            "--spend",
            PLENTY,
            "--spend-per",
            "month",
            "--images",
            PLENTY,
            "--images-per",
            "day",
        )
        await self.command("limits", "set", *of_user, "--requests-per-minute", PLENTY)

    async def start(self, *, tls: bool) -> float:
        self.tls = tls
        began = time.perf_counter()
        started = [await self._launch(folder) for folder in self._folders]
        self._processes = started
        self.pids = tuple(process.pid for process in started)
        async with asyncio.timeout(START_S):
            self.ports = tuple(await asyncio.gather(*map(_ready, started, self._folders)))
        return time.perf_counter() - began

    async def stop(self) -> None:
        await asyncio.gather(*map(end, self._processes))
        self._processes, self.pids = [], ()

    async def books(self) -> Books | None:
        return await read_books(self._database_url or self._folders[0] / "imagegate.db")

    def clear(self) -> None:
        for folder in self._folders:
            for file in (folder / "results").glob("*"):
                file.unlink(missing_ok=True)

    async def _launch(self, folder: Path) -> asyncio.subprocess.Process:
        with (folder / "log").open("ab") as log:
            return await self._exec(folder, "serve", "--port", "0", errors=log.fileno())

    async def command(self, *words: str) -> bytes:
        """Run a command of imagegate; returns what it prints. Raises RuntimeError when it fails."""
        process = await self._exec(self._folders[0], *words, errors=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"imagegate {' '.join(words)} failed: {err.decode()}")
        return out

    async def _exec(self, folder: Path, *words: str, errors: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _RUN, *words),
            cwd=folder,
            env=self._environment | self._relay() | {"IMAGEGATE_DATA_DIR": str(folder)},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )

    def _relay(self) -> dict[str, str]:
        trusted = {"SSL_CERT_FILE": str(self._upstream.certificate)} if self.tls else {}
        return trusted | {"IMAGEGATE_UPSTREAM_BASE_URL": self._upstream.url(tls=self.tls)}


async def stop_all(targets: Sequence[Target]) -> None:
    await asyncio.gather(*(target.stop() for target in targets))


async def _ready(process: asyncio.subprocess.Process, folder: Path) -> int:
    """The port a gateway says that it listens on."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if " is ready at " in line:
            return int(line.rpartition(":")[2])
    raise RuntimeError(f"a gateway did not start: {(folder / 'log').read_text()[-2000:]}")


async def _listening(port: int) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.005)


_NGINX = """
daemon off;
worker_processes 1;
pid FOLDER/pid;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    client_max_body_size 64m;
    keepalive_requests 100000000;
    upstream relay { server ADDRESS; keepalive 1024; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:PORT backlog=2048;
        location / {
            proxy_pass SCHEME://relay;
            proxy_ssl_protocols TLSv1.3;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 60s;
        }
    }
}
"""
