"""Stage of a storm: an installation with users, keys and limits, copied for each seed; the servers it needs."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from app.control.admin_keys import NewAdminKey, create_admin_key
from app.control.keys import get_key
from app.control.projects import create_project
from app.settings import Settings
from app.store.engine import SQLITE_FILE, Database, DatabaseUrl, open_database
from app.store.processes import SILENT_MS
from app.store.tables import processes
from app.wiring import Gateway, open_gateway
from tests.forks import start_server
from tests.gateways import PEPPER, RELAY_KEY, new_key, prepare, set_limit
from tests.servers import PostgresServer, RedisServer
from tests.storm.erasing import ERASED_USER
from tests.storm.fleet import share

Kind = Literal["sqlite", "postgresql"]
KEYS = (
    ("lin", "default"),
    ("mei", "default"),
    ("mei", "studio"),
    ("tom", "studio"),
    ("lin", "default"),
    (ERASED_USER, "default"),
)
CLIENT_DEADLINE_S = 1.5
EXCHANGE_DEADLINE_S = 2.5


class StormPostgres(PostgresServer):
    """One that may be killed at any time and has then lost nothing it had committed."""

    def _command(self) -> list[str | Path]:
        return [*super()._command(), "-c", "synchronous_commit=on", "-c", "full_page_writes=on"]

    async def create_database(self, template: str | None = None) -> str:
        """As its parent does. A sequence of a copy would go back when the server is killed: PostgreSQL takes the values that the
        template had logged ahead for logged, until a checkpoint."""
        url = await super().create_database(template)
        if template and self._ours:
            await self._administer("CHECKPOINT")
        return url


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    secret: str
    user_id: str
    project_id: str
    is_erased: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """`template` is the installation every seed begins with."""

    kind: Kind
    folder: Path
    template: DatabaseUrl
    keys: list[Key]
    admin_key: str
    postgres: PostgresServer | None
    redis: RedisServer | None

    @asynccontextmanager
    async def installation(self, folder: Path) -> AsyncIterator[DatabaseUrl]:
        """A copy of the template; in `folder` where it is a file."""
        if self.postgres is None:
            assert self.template.path is not None
            shutil.copy(self.template.path, folder / SQLITE_FILE)
            yield DatabaseUrl.of(None, folder)
            return
        url = await self.postgres.create_database(self.template.url)
        try:
            yield DatabaseUrl("postgresql", url=url)
        finally:
            await asyncio.to_thread(self.postgres.ensure_running)
            await self.postgres.drop_database(url)

    def environment(self, where: DatabaseUrl, relay_url: str) -> dict[str, str]:
        """Environment of the storm's gateways, without their folder."""
        given = {
            "upstream_base_url": relay_url,
            "upstream_api_key": RELAY_KEY,
            "upstream_connect_timeout_s": "1",
            "upstream_deadline_s": str(EXCHANGE_DEADLINE_S),
            "client_deadline_s": str(CLIENT_DEADLINE_S),
            "drain_s": "6",
            "secret_key": PEPPER.decode(),
            "database_url": where.url,
            "redis_url": self.redis.url if self.redis else "",
            "log_json": "true",
            "public_url": "http://storm.test",  # Replays of all gateways have equal links.
            "pictures_fetch_networks": "127.0.0.0/8",
            "pictures_fetch_s": "1",
        }
        return {f"IMAGEGATE_{name.upper()}": value for name, value in given.items() if value}


@asynccontextmanager
async def set_stage(kind: Kind, folder: Path, limit: int) -> AsyncIterator[Stage]:
    """Servers, and an installation whose organization may spend `limit` units of its currency."""
    async with AsyncExitStack() as stack:
        postgres = redis = None
        start_server()  # It imports while the other servers start.
        if kind == "postgresql":
            postgres = stack.enter_context(StormPostgres(os.environ.get("TEST_POSTGRES_URL")))
            redis = stack.enter_context(RedisServer(os.environ.get("TEST_REDIS_URL")))
            where = DatabaseUrl("postgresql", url=await postgres.create_database())
        else:
            where = DatabaseUrl.of(None, folder)
        await prepare(where)
        database = open_database(where)
        keys = await _furnish(database, limit)
        admin_key = (await create_admin_key(database, PEPPER, NewAdminKey("storm", role="owner"))).key
        await database.close()
        yield Stage(kind, folder, where, keys, admin_key, postgres, redis)


async def _furnish(database: Database, limit: int) -> list[Key]:
    """Limits of every unit, and at every scope; tight enough that a storm runs into each now and then."""
    await create_project(database, "studio")
    made = [await new_key(database, user, project=project) for user, project in KEYS]
    money = limit * 1_000_000
    await set_limit(database, "organization", "", "micros", "month", money)
    await set_limit(database, "organization", "", "in_flight", "lifetime", 24)
    await set_limit(database, "project", "studio", "images", "week", limit)
    await set_limit(database, "project", "studio", "micros", "day", money * 2 // 3, "gpt-image-1")
    await set_limit(database, "user", "lin", "micros", "day", money // 2)
    await set_limit(database, "user", "mei", "requests", "lifetime", limit)
    await set_limit(database, "user", "mei", "requests", "minute", 100_000)
    await set_limit(database, "everyone", "", "images", "day", limit // 2)
    await set_limit(database, "key", made[0].id, "in_flight", "lifetime", 8)
    await set_limit(database, "key", made[3].id, "micros", "lifetime", money // 2)
    shown = [await database.ask(get_key, key.id) for key in made]
    return [
        Key(key.id, key.key, record.user_id, record.project_id, user == ERASED_USER)
        for key, record, (user, _) in zip(made, shown, KEYS, strict=True)
    ]


@asynccontextmanager
async def judge(stage: Stage, where: DatabaseUrl, folder: Path, shared: Path, relay_url: str) -> AsyncIterator[Gateway]:
    """A gateway in this process that serves nobody: it resolves what the dead have left, when it is told to."""
    folder.mkdir()
    share(shared, folder)
    environment = stage.environment(where, relay_url)
    given = {name.removeprefix("IMAGEGATE_").lower(): value for name, value in environment.items()}
    with _environment_without_ours():
        settings = Settings(**given, data_dir=folder, _env_file=None)  # type: ignore[arg-type]
    async with open_gateway(settings, where, folder, PEPPER) as gateway:
        yield gateway


async def resolve(gateway: Gateway) -> int:
    """Have it resolve the rows of the silent as if it had been in contact for long; how many came to their end."""
    gateway.heartbeat.connected_since_s = time.monotonic() - 2 * SILENT_MS / 1000
    return await gateway.recovery.resolve_orphans()


async def age_beats(database: Database, judge_id: str, started_before: float | None = None) -> None:
    """Make the heartbeat of every process but the judge old; or only of those that started before an instant in seconds."""
    aged = processes.c.id != judge_id
    if started_before is not None:
        aged &= processes.c.started_at_ms < int(started_before * 1000)
    older = processes.c.beat_at_ms - 2 * SILENT_MS
    async with database.transaction() as connection:
        await connection.execute(sa.update(processes).where(aged).values(beat_at_ms=older))


@contextmanager
def _environment_without_ours() -> Iterator[None]:
    ours = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("IMAGEGATE_")}
    try:
        yield
    finally:
        os.environ.update(ours)
