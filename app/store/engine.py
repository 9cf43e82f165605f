"""Opening the database: SQLite in a file, or PostgreSQL by URL. What differs between the two is said here once.

This is the way of everything but a request's money (`purchases.py`): control data, reports, recovery.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.core.actors import GATEWAY, Actor
from app.errors import ConfigurationError, StorageFull, StoreUnavailable
from app.store.tables import organization

BUSY_TIMEOUT_S = 5.0
PATIENCE_S = 5.0
SQLITE_FILE = "imagegate.db"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where the book is. `path` for SQLite, `url` (plain `postgresql://`) for PostgreSQL."""

    dialect: Literal["sqlite", "postgresql"]
    path: Path | None = None
    url: str = ""

    @classmethod
    def of(cls, url: str | None, data_dir: Path) -> "DatabaseUrl":
        """Raises ConfigurationError on a URL of another kind."""
        if url is None:
            return cls("sqlite", path=data_dir / SQLITE_FILE)
        scheme, _, rest = url.partition("://")
        if scheme.partition("+")[0] not in ("postgresql", "postgres") or not rest:
            raise ConfigurationError("IMAGEGATE_DATABASE_URL must be like postgresql://user:password@host:5432/name.")
        return cls("postgresql", url=f"postgresql://{rest}")

    @property
    def sqlalchemy(self) -> str:
        if self.dialect == "sqlite":
            return f"sqlite+aiosqlite:///{self.path}"
        return self.url.replace("postgresql://", "postgresql+asyncpg://", 1)

    @property
    def public(self) -> str:
        """For people and logs: no password."""
        if self.path is not None:
            return str(self.path)
        return sa.make_url(self.url).render_as_string(hide_password=True)


@dataclass(frozen=True, slots=True)
class Database:
    """Connections for control data and reports. Every failure to reach it is a StoreUnavailable."""

    where: DatabaseUrl
    engine: AsyncEngine
    actor: Actor = GATEWAY
    """Whose changes `write` makes."""

    def by(self, actor: Actor) -> "Database":
        """The same database in the hands of `actor`: what is written through it is theirs in the log of changes."""
        return replace(self, actor=actor)

    @property
    def is_sqlite(self) -> bool:
        return self.where.dialect == "sqlite"

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One snapshot: nothing read in it changes under the reader."""
        with store_errors():
            async with self.engine.connect() as raw:
                connection = await raw.execution_options(**_READ[self.where.dialect])
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Several statements, all or none of them."""
        with store_errors():
            async with self.engine.connect() as raw:
                connection = await raw.execution_options(imagegate_write=True, imagegate_actor=self.actor)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def rebuild(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may replace tables: SQLite drops one that others refer to only while it does not check that."""
        with store_errors():
            async with self.engine.connect() as raw:
                connection = await raw.execution_options(imagegate_write=True, imagegate_rebuild=True)
                try:
                    async with connection.begin():
                        yield connection
                finally:
                    await connection.invalidate()  # Nobody else works without foreign keys.

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A control write: a transaction that raises the revision first, so that control writes come one after another
        and every reservation made on older control data is refused and made anew. `store.audit_logs.note` says in the
        same transaction what was changed."""
        async with self.transaction() as connection:
            await connection.execute(sa.update(organization).values(revision=organization.c.revision + 1))
            yield connection

    async def now_ms(self) -> int:
        """The database's own clock."""
        return (await self.asked_now())[0]

    async def asked_now(self) -> tuple[int, float]:
        """The database's own clock, and when it was asked by the monotonic one, in seconds: neither connecting nor whatever is
        done next lies between the two, only a transaction's begin."""
        async with self.read() as connection:
            asked_s = time.monotonic()
            return int((await connection.execute(sa.text(_NOW_MS[self.where.dialect]))).scalar_one()), asked_s

    async def close(self) -> None:
        await self.engine.dispose()


_READ: dict[str, dict[str, Any]] = {"sqlite": {}, "postgresql": {"isolation_level": "REPEATABLE READ"}}
_NOW_MS = {
    "sqlite": "SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
}


def open_database(where: DatabaseUrl, patience_s: float = PATIENCE_S) -> Database:
    """Opens nothing yet: the first use does. On PostgreSQL no statement may take longer than `patience_s` seconds: a server
    that hangs must not hold up those who wait behind."""
    if where.dialect == "postgresql":
        waits = {"timeout": PATIENCE_S, "command_timeout": patience_s}
        engine = create_async_engine(
            where.sqlalchemy, pool_size=5, max_overflow=5, pool_timeout=5, pool_pre_ping=True, connect_args=waits
        )
        return Database(where, engine)
    engine = create_async_engine(where.sqlalchemy, connect_args={"timeout": BUSY_TIMEOUT_S})
    sa.event.listen(engine.sync_engine, "connect", _sqlite_connected)
    sa.event.listen(engine.sync_engine, "begin", _sqlite_begin)
    return Database(where, engine)


def insert(connection: AsyncConnection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that may say what becomes of a conflict. Both databases say it alike; SQLAlchemy has it for each of them alone."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _sqlite_connected(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # The driver would open deferred transactions behind our back.
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"busy_timeout={int(BUSY_TIMEOUT_S * 1000)}",
)


def _sqlite_begin(connection: sa.Connection) -> None:
    """A deferred transaction that writes later fails with BUSY at once, whatever the timeout; an immediate one waits."""
    options = connection.get_execution_options()
    if options.get("imagegate_rebuild"):
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # Inside a transaction it does nothing.
    writes = options.get("imagegate_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns what the drivers raise when the database is away, busy or full into the errors a client may read."""
    try:
        yield
    except IntegrityError:
        raise  # Its text quotes what people wrote, which may sound like anything.
    except DBAPIError as exc:
        cause = exc.orig and exc.orig.__cause__
        if str(getattr(cause, "sqlstate", "")).startswith(_NOT_LET_IN_STATES):
            raise ConfigurationError(f"PostgreSQL says: {exc.orig}. Check IMAGEGATE_DATABASE_URL.") from exc
        if (unavailable := unavailability(exc.orig or exc)) is not None or isinstance(exc, InterfaceError):
            raise (unavailable or StoreUnavailable(AWAY)) from exc
        raise
    except (PoolTimeout, OSError) as exc:
        raise StoreUnavailable(AWAY) from exc
    except Exception as exc:
        if _is_asyncpgs(exc):
            raise StoreUnavailable(AWAY) from exc
        raise


def _is_asyncpgs(exc: Exception) -> bool:
    """Its own come through as they are when a connection is lost while it is being made. They are known by their names: who
    works on SQLite does not load asyncpg."""
    names = {kind.__name__ for kind in type(exc).__mro__ if kind.__module__.startswith("asyncpg.")}
    return not names.isdisjoint(("InterfaceError", "InternalClientError"))


_NOT_LET_IN_STATES = ("28", "3D000")
"""A wrong name or password, and a database that is not there."""
AWAY = "The database of the gateway does not answer; nothing was bought. Try again in a few seconds."
FULL = "The disk of the gateway is full; nothing was bought. An administrator has to make room."


def unavailability(exc: BaseException) -> StoreUnavailable | StorageFull | None:
    """StorageFull or StoreUnavailable for what a driver raised, None for an error of ours such as a broken constraint."""
    if str(getattr(exc, "sqlstate", None) or "").startswith(_AWAY_STATES):
        return StoreUnavailable(AWAY)
    text = f"{type(exc).__name__} {exc}".lower()
    if any(word in text for word in ("disk is full", "disk full", "diskfull", "no space left")):
        return StorageFull(FULL)
    if any(word in text for word in _AWAY_WORDS) or isinstance(exc, OSError):
        return StoreUnavailable(AWAY)
    return None


# Connection lost, wrong login after a rotation, a standby, no resources, cancelled or shut down, a broken system.
_AWAY_STATES = ("08", "28", "25006", "40001", "40P01", "53200", "53300", "53400", "55P03", "57", "58")
_AWAY_WORDS = (
    "locked",
    "disk i/o",
    "readonly database",
    "unable to open",
    "connectiondoesnotexist",
    "connection is closed",
    "connection was closed",
    "cannotconnectnow",
    "toomanyconnections",
    "adminshutdown",
    "crashshutdown",
    "connectionfailure",
    "interfaceerror",
    "serializationerror",
    "deadlockdetected",
    "internalclienterror",  # What asyncpg says of a connection that is lost just as it is used.
    # SQLAlchemy keeps of a failed connection only the server's words: while it starts up or recovers, and when it is full.
    "the database system is",
    "terminating connection",
    "too many clients",
    "remaining connection slots",
)
