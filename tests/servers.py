"""A real PostgreSQL and a real Redis for the tests, without root rights, Docker or anything installed.

`TEST_POSTGRES_URL` and `TEST_REDIS_URL` name running ones to be used instead. Otherwise the programs come from the PATH
or the system's usual places, and where there are none from wheels. A server of ours dies with the test run, however
that ends: a guard process that waits on a pipe from the run sees it close, stops the server and removes its folder.
"""

import os
import secrets
import shutil
import socket
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from benchmarks.certificate import certify
from tests.server import HOST, START_S, Server, ServerFailed
from tests.server_programs import postgres_folders, redis_program

_START_UP = struct.pack("!i", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
POSTGRES_START_UP: Final = struct.pack("!i", len(_START_UP) + 4) + _START_UP


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

    def _connect(self) -> socket.socket:
        # A server still starting agrees to TLS already: only what it says under it tells that it is ready.
        with super()._connect() as connection:
            connection.sendall(struct.pack("!ii", 8, 80877103))  # May we speak TLS?
            if connection.recv(1) != b"S":
                raise OSError("no TLS")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context.wrap_socket(connection)


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
