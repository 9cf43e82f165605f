"""A real PostgreSQL and a real Redis for the tests, without root rights, Docker or anything installed.

`TEST_POSTGRES_URL` and `TEST_REDIS_URL` name running ones to be used instead. Otherwise the programs come from the PATH
or the system's usual places, and where there are none from wheels. A server of ours dies with the test run, however
that ends: a guard process that waits on a pipe from the run sees it close, stops the server and removes its folder.
"""

import atexit
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, Final, Self
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
import redis

from benchmarks.certificate import certify
from tests.server_processes import family, guard, kill, send, stop, wait_until
from tests.server_programs import postgres_folders, redis_program

HOST: Final = "127.0.0.1"
START_S: Final = 60
_START_UP = struct.pack("!i", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
POSTGRES_START_UP: Final = struct.pack("!i", len(_START_UP) + 4) + _START_UP


class ServerFailed(Exception):
    """A server did not start; the message ends with its own last words."""


class Server:
    """A server process with a loopback port and a folder of its own, both kept over restarts.

    With `url` it stands for a server somebody else runs: it is used, and a test that would kill it is skipped.
    All methods block, none for longer than a start takes. To kill, start or pause twice is harmless.
    """

    name: str
    url: str

    def __init__(self, url: str | None = None) -> None:
        self._ours = url is None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, Any] = {}  # the user and environment to run as, in Popen's words
        if url is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"imagegate-{self.name}-"))
            self._port = free_port()
        self.url = url or self._own_url()

    def __enter__(self) -> Self:
        try:
            if self._ours:
                self._prepare()
                self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Return when the server answers. Raises ServerFailed."""
        self.must_be_ours()
        if self._is_alive():
            return
        with (self._folder / "log").open("ab") as log:
            self._process = self._launch(self._command(), log)
        self._guard = guard(self._process.pid, self._folder)
        self._wait_until_it_answers()

    def kill(self) -> None:
        """SIGKILL the server and its children, as a power cut would, and return when they are gone."""
        self.must_be_ours()
        kill(self._family())
        self._bury()

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing is answered, until `resume`."""
        self.must_be_ours()
        send(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        self.must_be_ours()
        send(self._family(), signal.SIGCONT)

    def ensure_running(self) -> None:
        """Mend what an earlier test left paused or killed."""
        if self._ours and self._is_alive():
            self.resume()
        elif self._ours:
            self.start()

    def close(self) -> None:
        """Stop the server the way it likes best, and remove its folder."""
        if self._ours:
            if self._process:
                stop(self._process.pid)
            self._bury()
            shutil.rmtree(self._folder, ignore_errors=True)

    # What a server of a kind has to say

    def _own_url(self) -> str:
        raise NotImplementedError

    def _prepare(self) -> None:
        """Do once what must be done before the first start."""

    def _command(self) -> list[str | Path]:
        raise NotImplementedError

    def _greeting(self) -> tuple[bytes, bytes]:
        """Return bytes to send to a new connection, and the first bytes of the answer of a server that is ready."""
        raise NotImplementedError

    def _run_as_nobody(self) -> None:
        """PostgreSQL and PgBouncer refuse to run as root."""
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
            self._identity |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _launch(self, command: list[str | Path], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=self._folder, stdout=output, stderr=subprocess.STDOUT, **self._identity)

    # Its process

    def _family(self) -> list[psutil.Process]:
        return family(self._process.pid) if self._process else []

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _bury(self) -> None:
        """Collect what has ended. The guard goes too, unheard: it must not outlive the number it would kill."""
        for process in (self._guard, self._process):
            if process:
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()
        self._guard = self._process = None

    def must_be_ours(self) -> None:
        """Skip the test where the server is somebody else's."""
        if not self._ours:
            pytest.skip(f"the {self.name} server is not ours to stop and start")

    def _wait_until_it_answers(self) -> None:
        wait_until(lambda: self._answers() or not self._is_alive(), START_S)
        if not self._answers():
            raise ServerFailed(f"{self.name} did not start:\n{(self._folder / 'log').read_text()[-2000:]}")

    def _answers(self) -> bool:
        question, good_answer = self._greeting()
        try:
            with socket.create_connection((HOST, self._port), timeout=1) as connection:
                connection.sendall(question)
                return connection.recv(len(good_answer)) == good_answer
        except OSError:
            return False


class PostgresServer(Server):
    """PostgreSQL with trust authentication, 200 connections and no regard for power cuts."""

    name = "postgres"

    def _own_url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self._port}/postgres"

    async def create_database(self, template: str | None = None) -> str:
        """Return the URL of a new database: empty, or a copy of the one at the URL `template`, which is not in use."""
        name = f"test_{secrets.token_hex(6)}"
        copied = f'TEMPLATE "{urlsplit(template).path[1:]}"' if template else ""
        await self._administer(f'CREATE DATABASE "{name}" {copied}')
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    async def drop_database(self, url: str) -> None:
        """Remove a database of `create_database`, whoever is still connected."""
        await self._administer(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    async def _administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _prepare(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        self._identity = {"env": environment}
        self._run_as_nobody()
        self._programs = next(folder for folder in postgres_folders(self._folder) if self._can_run(folder))
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]
        initdb = self._launch([self._programs / "initdb", "--pgdata=data", *options], subprocess.PIPE)
        words, _ = initdb.communicate(timeout=START_S)
        if initdb.returncode:
            raise ServerFailed(f"initdb failed: {words.decode()}")

    def _command(self) -> list[str | Path]:
        options = (word for name, value in self._settings().items() for word in ("-c", f"{name}={value}"))
        return [self._programs / "postgres", "-D", "data", *options]

    def _settings(self) -> dict[str, object]:
        return {
            "listen_addresses": HOST,
            "port": self._port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "log_min_messages": "fatal",
        }

    def _greeting(self) -> tuple[bytes, bytes]:
        return POSTGRES_START_UP, b"R"

    def _can_run(self, folder: Path) -> bool:
        """Say whether its programs start under the user they are to run as: they may lie where only root can look."""
        try:
            programs = [folder / "initdb", folder / "postgres"]
            return not any(self._launch([program, "--version"], subprocess.DEVNULL).wait() for program in programs)
        except OSError:
            return False


class TlsPostgresServer(PostgresServer):
    """PostgreSQL that takes TLS connections only. Skips where there is no openssl to make a certificate with."""

    certificate: Path
    """Its certificate, which is its own authority."""

    def _prepare(self) -> None:
        if (made := certify(self._folder)) is None:
            pytest.skip("no openssl to make a certificate with")
        self.certificate = made
        super()._prepare()
        (self._folder / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")

    def _settings(self) -> dict[str, object]:
        key = self.certificate.with_suffix(".key")
        return {**super()._settings(), "ssl": "on", "ssl_cert_file": self.certificate, "ssl_key_file": key}

    def _greeting(self) -> tuple[bytes, bytes]:
        return struct.pack("!ii", 8, 80877103), b"S"  # May we speak TLS? Yes.


class PgBouncer(Server):
    """PgBouncer in front of a PostgreSQL, pooling two connections by transaction. Skips where it is not installed."""

    name = "pgbouncer"

    def __init__(self, postgres_url: str) -> None:
        path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # Where Debian puts it.
        program = shutil.which("pgbouncer", path=path)
        if program is None:
            pytest.skip("no pgbouncer on this machine")
        self._program, self._behind = program, urlsplit(postgres_url)
        super().__init__()

    def _own_url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self._port}{self._behind.path}"

    def _prepare(self) -> None:
        (self._folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={self._behind.hostname} port={self._behind.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {self._port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
        )
        self._run_as_nobody()

    def _command(self) -> list[str | Path]:
        return [self._program, "pgbouncer.ini"]

    def _greeting(self) -> tuple[bytes, bytes]:
        return POSTGRES_START_UP, b"R"


class RedisServer(Server):
    """Redis, or Valkey, in memory only."""

    name = "redis"

    def _own_url(self) -> str:
        return f"redis://{HOST}:{self._port}/0"

    def flush(self) -> None:
        """Forget everything in the database the URL names."""
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()

    def _command(self) -> list[str | Path]:
        return [redis_program(), "--bind", HOST, "--port", str(self._port), "--save", "", "--appendonly", "no"]

    def _greeting(self) -> tuple[bytes, bytes]:
        return b"PING\r\n", b"+PONG"


def free_port() -> int:
    """A port of this process until it ends: what is told to listen there may die and come back, and nobody else gets it meanwhile.

    It lies below those that the system gives to outgoing connections. It is held by a socket that does not listen: a server
    that sets SO_REUSEADDR, as servers do, listens beside it; a client is refused as long as there is none; whoever looks for a
    free port as we do, here or in another test run, finds this one taken.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        probe = socket.socket()
        try:
            probe.bind((HOST, port))
        except OSError:
            probe.close()
            continue
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(probe)
        return port


_held: Final[list[socket.socket]] = []


@atexit.register
def _let_go() -> None:
    for sock in _held:
        sock.close()
