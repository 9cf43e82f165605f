"""Gateways for the tests: in this process over a real socket, or as real processes of the command `imagegate`."""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.control.keys import CreatedKey
from app.control.limits import LimitChange, ScopeRef, set_limits
from app.control.people import create_user
from app.control.served_address import note_address
from app.core.intervals import Interval
from app.core.limits import LimitScope, Unit
from app.errors import StoreUnavailable
from app.main import create_app
from app.server import Server, listen
from app.settings import Settings
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.migrations import upgrade
from app.store.reconciliation import may_run
from app.store.schema import schema_state
from app.store.tables import counters, requests
from app.wiring import Gateway, open_gateway
from tests import forks
from tests.administration import PEPPER as PEPPER
from tests.administration import create_key

RELAY_KEY = "sk-the-relay-key-of-the-tests-0123456789abcdefghijk"
NEVER = 10**6
_ZONE = Settings(_env_file=None).zone


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that serves at `url` (no /v1), and what a test looks at behind it."""

    url: str
    gateway: Gateway

    @property
    def database(self) -> Database:
        return self.gateway.database

    async def key(self, user: str = "lin", **given: Any) -> CreatedKey:
        """A key; its user is made where it is new."""
        return await new_key(self.database, user, **given)

    async def limit(
        self, scope: LimitScope, name: str, unit: Unit, interval: Interval, amount: int | None, model: str | None = None
    ) -> None:
        """Set one limit; None removes it. Spend is in micros."""
        await set_limit(self.database, scope, name, unit, interval, amount, model)

    async def rows(self) -> list[dict[str, Any]]:
        """The book, oldest first."""
        return await book(self.database)

    async def counters(self) -> list[dict[str, Any]]:
        return await all_counters(self.database)


@asynccontextmanager
async def running_gateway(
    data_dir: Path,
    upstream_url: str,
    *,
    database_url: str | None = None,
    pepper: bytes = PEPPER,
    sandbox: bool = False,
    **settings: Any,
) -> AsyncIterator[Running]:
    """A gateway in this event loop, on a loopback port, its database brought up to date first."""
    given: dict[str, Any] = {
        "upstream_base_url": upstream_url,
        "upstream_api_key": RELAY_KEY,
        "upstream_log_key_in_url": True,
        "timezone": "Asia/Shanghai",
        "smtp_host": "127.0.0.1",
        "smtp_port": 9,  # Nobody listens there; without a mail server no alert by mail can be made.
        "data_dir": data_dir,
    }
    chosen = Settings(**(given | settings | {"_env_file": None, "database_url": database_url}))
    where = DatabaseUrl.of(database_url, data_dir)
    await prepare(where)
    sock = listen("127.0.0.1", 0)
    async with open_gateway(chosen, where, data_dir, pepper, sandbox=sandbox) as gateway:
        gateway.relays.rules.breakers.costly_max = NEVER  # Tests of other things fail often.
        with suppress(StoreUnavailable):  # Else a gateway of a minute asks the relay for its bill amid other tests.
            await may_run(gateway.database, 0)
        note_address(data_dir, f"http://127.0.0.1:{sock.getsockname()[1]}")
        server = Server(create_app(gateway), gateway.image_service, 5.0, lambda: None)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([sock])  # Without its main loop, which takes the signals and looks ten times a second.
        try:
            yield Running(f"http://127.0.0.1:{sock.getsockname()[1]}", gateway)
        finally:
            await server.shutdown([sock])


class GatewayProcess:
    """`imagegate serve` as a process of its own. `start` returns when it serves; it dies with the test at the latest."""

    def __init__(
        self,
        data_dir: Path,
        upstream_url: str,
        *,
        database_url: str | None = None,
        module: str = forks.IMAGEGATE,
        **settings: Any,
    ):
        self.data_dir, self.module = data_dir, module
        given = {
            "data_dir": data_dir,
            "upstream_base_url": upstream_url,
            "upstream_api_key": RELAY_KEY,
            "upstream_log_key_in_url": True,
            "database_url": database_url,
            "secret_key": PEPPER.decode(),
            "timezone": "Asia/Shanghai",
        }
        self.environment = {**os.environ} | {
            f"IMAGEGATE_{name.upper()}": str(value) for name, value in (given | settings).items() if value is not None
        }
        self.url = ""
        self.said: list[str] = []
        self._process: forks.Fork | None = None

    async def start(self, *arguments: str) -> "GatewayProcess":
        """Raises AssertionError with what it said when it does not start."""
        read, write = os.pipe()
        with (self.data_dir / "stderr.log").open("ab") as errors, os.fdopen(write) as out:
            words = ("serve", "--port", "0", *arguments)
            started = forks.fork(words, self.environment, self.data_dir, out.fileno(), errors.fileno(), self.module)
            self._process = await started
        stdout = await forks.reading(read)
        async with asyncio.timeout(30):
            while line := (await stdout.readline()).decode():
                self.said.append(line)
                if line.startswith("Usage so far"):
                    return self
                if " is ready at " in line:
                    self.url = line.split()[-1]
        raise AssertionError(f"the gateway did not start: {self.stderr()}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stderr(self) -> str:
        return (self.data_dir / "stderr.log").read_text()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(30):
            return await self._process.wait()

    async def cli(self, *words: str) -> Any:
        """`imagegate WORDS --json`, in the same environment: what it printed. Raises AssertionError when it failed."""
        code, out, err = await forks.run((*words, "--json"), self.environment, self.data_dir)
        assert code == 0, err
        return json.loads(out)


@asynccontextmanager
async def gateway_process(
    data_dir: Path, upstream_url: str, *, arguments: Sequence[str] = (), **settings: Any
) -> AsyncIterator[GatewayProcess]:
    """Started with these further arguments; killed at the end where the test has not stopped it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    process = await GatewayProcess(data_dir, upstream_url, **settings).start(*arguments)
    try:
        yield process
    finally:
        await process.stop(signal.SIGKILL)


async def prepare(where: DatabaseUrl) -> None:
    """A database with its schema, as `imagegate db upgrade` leaves it."""
    if where.path is not None and not where.path.exists():
        where.path.write_bytes(await _new_sqlite_file())
        return
    database = open_database(where)
    if not (await schema_state(database)).up_to_date:
        await upgrade(database)
    await database.close()


async def new_key(database: Database, user: str = "lin", *, pepper: bytes = PEPPER, **given: Any) -> CreatedKey:
    async with database.read() as connection:
        known = (await connection.execute(sa.text("SELECT name FROM users"))).scalars().all()
    if user not in known:
        await create_user(database, user)
    return await create_key(database, user, pepper=pepper, **given)


async def set_limit(
    database: Database,
    scope: LimitScope,
    name: str,
    unit: Unit,
    interval: Interval,
    amount: int | None,
    model: str | None = None,
) -> None:
    await set_limits(database, _ZONE, ScopeRef(scope, name), model, [LimitChange(unit, interval, amount)])


async def book(database: Database) -> list[dict[str, Any]]:
    async with database.read() as connection:
        rows = await connection.execute(sa.select(requests).order_by(requests.c.reserved_at_ms, requests.c.id))
        return [dict(row) for row in rows.mappings()]


async def all_counters(database: Database) -> list[dict[str, Any]]:
    async with database.read() as connection:
        return [dict(row) for row in (await connection.execute(sa.select(counters).order_by(counters.c.id))).mappings()]


_new_file: bytes = b""


async def _new_sqlite_file() -> bytes:
    """Made once in a run: migrating takes longer than most tests."""
    global _new_file
    if not _new_file:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "new.db"
            database = open_database(DatabaseUrl("sqlite", path=path))
            await upgrade(database)
            await database.close()
            _new_file = path.read_bytes()
    return _new_file
