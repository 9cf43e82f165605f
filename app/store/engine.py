"""Connections to the database: SQLite in a file, or PostgreSQL by URL, for everything but the money of a request.

The ledger has connections of its own, `store.writer` and `store.postgresql`, which share the URL and the errors of this file.
"""

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.actors import GATEWAY, Actor
from app.errors import ConfigurationError, StorageFull, StoreUnavailable
from app.store.journal import Journal, Revocation
from app.store.sqlite import create_sqlite_engine
from app.store.tables import organization

STATEMENT_TIMEOUT_S = 5.0
SQLITE_FILE = "imagegate.db"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Address of the database: `path` for SQLite, `url` (`postgresql://`, as libpq takes it) for PostgreSQL.

    Both PostgreSQL drivers are given `dsn`, which asyncpg parses: sslmode, sslrootcert, target_session_attrs, several hosts. One
    option is ours: `prepared_statements=false`, for a PgBouncer that pools by transaction.
    """

    dialect: Literal["sqlite", "postgresql"]
    path: Path | None = None
    url: str = ""

    @classmethod
    def of(cls, url: str | None, data_dir: Path) -> "DatabaseUrl":
        """Parse a URL; None is SQLite in `data_dir`. Raises ConfigurationError on a URL of another kind."""
        if url is None:
            return cls("sqlite", path=data_dir / SQLITE_FILE)
        scheme, _, rest = url.partition("://")
        if scheme.partition("+")[0] not in ("postgresql", "postgres") or not rest:
            raise ConfigurationError("IMAGEGATE_DATABASE_URL must be like postgresql://user:password@host:5432/name.")
        found = cls("postgresql", url=f"postgresql://{rest}")
        if found._options.get(_PREPARED, "true") not in ("true", "false"):
            raise ConfigurationError(f"IMAGEGATE_DATABASE_URL: {_PREPARED} must be true or false.")
        for option in _FILES:
            if (file := found._options.get(option)) and not os.access(file, os.R_OK):
                raise ConfigurationError(f"IMAGEGATE_DATABASE_URL: the file of {option}, {file}, cannot be read.")
        return found

    @property
    def dsn(self) -> str:
        """URL for PostgreSQL's drivers, without our own option."""
        options = {name: value for name, value in self._options.items() if name != _PREPARED}
        return urlsplit(self.url)._replace(query=urlencode(options)).geturl()

    @property
    def prepared_statements(self) -> bool:
        """False where a pooler gives each transaction another connection, on which no earlier statement is prepared."""
        return self._options.get(_PREPARED) != "false"

    @property
    def public(self) -> str:
        """Address for people and logs, without password and options."""
        if self.path is not None:
            return str(self.path)
        parts = urlsplit(self.url)
        user, at, hosts = parts.netloc.rpartition("@")
        name, colon, _ = user.partition(":")
        return f"postgresql://{name}{colon and ':***'}{at}{hosts}{parts.path}"

    @property
    def _options(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


_PREPARED = "prepared_statements"
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")


@dataclass(frozen=True, slots=True)
class Database:
    """Connections for control data and reports. Every failure to reach it is a StoreUnavailable."""

    where: DatabaseUrl
    engine: AsyncEngine
    actor: Actor = GATEWAY
    """Author of the changes in the audit log."""
    journal: Journal | None = None
    """File outside the database that revocations are appended to, just before they are committed."""

    def by(self, actor: Actor) -> "Database":
        """Return the same database with another author in the audit log."""
        return replace(self, actor=actor)

    @property
    def is_sqlite(self) -> bool:
        return self.where.dialect == "sqlite"

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a snapshot: reads in it do not see later changes."""
        with store_errors():
            async with self.engine.connect() as raw:
                connection = await raw.execution_options(**_READ[self.where.dialect])
                yield connection

    async def ask(
        self, query: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what one query finds, in a snapshot of its own."""
        async with self.read() as connection:
            return await query(connection, *args, **kwargs)

    async def column(self, select: sa.Select[Any]) -> list[Any]:
        """Return the first value of each row that a query finds, in a snapshot of its own."""
        async with self.read() as connection:
            return list((await connection.execute(select)).scalars())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction, which is committed at the end of the block."""
        with store_errors():
            async with self.engine.connect() as raw:
                revocations: list[Revocation] = []
                options = {"imagegate_actor": self.actor, "imagegate_revocations": revocations}
                connection = await raw.execution_options(imagegate_write=True, **options)
                async with connection.begin():
                    yield connection
                    if self.journal is not None:
                        await self.journal.append(revocations)

    @asynccontextmanager
    async def rebuild(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction without checks of foreign keys, in which SQLite can replace tables that others refer to."""
        with store_errors():
            async with self.engine.connect() as raw:
                connection = await raw.execution_options(imagegate_write=True, imagegate_rebuild=True)
                try:
                    async with connection.begin():
                        yield connection
                finally:
                    await connection.invalidate()  # Other users of the pool need the checks.

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for control data. It raises the revision first, so that control writes run one after another and a
        reservation decided on older control data is refused and repeated. `store.audit_logs.log_changes` says in the
        same transaction what was changed."""
        async with self.transaction() as connection:
            await connection.execute(sa.update(organization).values(revision=organization.c.revision + 1))
            yield connection

    async def now_ms(self) -> int:
        """Read the database's clock."""
        return (await self.asked_now())[0]

    async def asked_now(self) -> tuple[int, float]:
        """Read the database's clock (ms) and the monotonic clock (s) just before. Connecting does not count between the two."""
        async with self.read() as connection:
            asked_s = time.monotonic()
            now_ms = (await connection.execute(sa.text(f"SELECT {NOW_MS[self.where.dialect]}"))).scalar_one()
            return int(now_ms), asked_s

    async def close(self) -> None:
        await self.engine.dispose()


async def block_reservations(connection: AsyncConnection) -> None:
    """Wait for reservations under way and let new ones wait, until the caller's transaction ends. On SQLite every transaction that
    writes does so from its beginning. A reservation on PostgreSQL only reads the revision, without a lock: without this one it
    could be committed after the caller looked for it."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.text("LOCK TABLE requests IN SHARE MODE"))


async def read_in_order(connection: AsyncConnection) -> None:
    """Let the next statements of this transaction read along an index in the order of their page, instead of sorting all rows they
    find. PostgreSQL expects few rows of a search for words, and would read each prompt that may hold them before the first page."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.text("SET LOCAL enable_sort = off"))
        # Requests need the other cores.
        await connection.execute(sa.text("SET LOCAL max_parallel_workers_per_gather = 0"))


_READ: dict[str, dict[str, Any]] = {"sqlite": {}, "postgresql": {"isolation_level": "REPEATABLE READ"}}
NOW_MS = {
    "sqlite": "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
}
"""Expressions of the database's clock in milliseconds, by dialect."""


def open_database(where: DatabaseUrl, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> Database:
    """Return the database at `where`; the first use connects. A statement on PostgreSQL fails after `statement_timeout_s`, so that
    a hanging server does not block every caller."""
    if where.dialect == "postgresql":
        from app.store.postgresql import create_engine  # asyncpg takes 5 MiB, which SQLite does not need.

        return Database(where, create_engine(where, statement_timeout_s))
    assert where.path is not None
    return Database(where, create_sqlite_engine(where.path))


def insert(connection: AsyncConnection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Make an INSERT with `on_conflict_do_...`, which SQLAlchemy has in each dialect only."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


AWAY = "The database of the gateway does not answer; nothing was bought. Try again in a few seconds."
FULL = "The disk of the gateway is full; nothing was bought. An administrator has to make room."


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise StoreUnavailable or StorageFull where a driver says that the database is away, busy or full."""
    try:
        yield
    except Exception as exc:
        if (error := unavailability(exc)) is None:
            raise
        raise error from exc


def unavailability(exc: BaseException) -> StoreUnavailable | StorageFull | None:
    """Classify an exception of a driver or of SQLAlchemy; None when the statement itself was wrong.

    SQLite's result code, PostgreSQL's SQLSTATE, or the exception's class decides.
    """
    if isinstance(exc, DBAPIError) and exc.orig is not None:
        is_lost = exc.connection_invalidated or _is_lost_connection(exc)
        cause: BaseException = exc.orig
    else:
        # SQLAlchemy does not wrap what asyncpg raises while a new connection is set up.
        is_bare = type(exc).__module__.startswith("asyncpg.") and type(exc).__name__ == "InterfaceError"
        is_lost, cause = is_bare or isinstance(exc, (OSError, PoolTimeout)), exc
    state, kind = str(getattr(cause, "sqlstate", None) or ""), sqlite_error_kind(cause)
    if state == _DISK_FULL_STATE or kind == sqlite3.SQLITE_FULL:
        return StorageFull(FULL)
    if is_lost or kind in _AWAY_SQLITE or (state and state.startswith(_AWAY_STATES)):
        return StoreUnavailable(AWAY)
    return None


def _is_lost_connection(exc: DBAPIError) -> bool:
    """True for errors of asyncpg about its connection, which have no SQLSTATE. A refused argument has a ValueError as its cause."""
    assert exc.orig is not None
    client_side = isinstance(exc, (InterfaceError, InternalError)) and not getattr(exc.orig, "sqlstate", None)
    return client_side and not isinstance(exc.orig, sqlite3.Error) and not isinstance(exc.orig.__cause__, ValueError)


def sqlite_error_kind(exc: BaseException) -> int | None:
    """Return SQLite's primary result code, such as sqlite3.SQLITE_IOERR; None for other exceptions."""
    code: int | None = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


_DISK_FULL_STATE = "53100"
# Connection lost, a login refused after a rotation, a standby, deadlock, out of resources, lock not available, cancelled or shut
# down, a failing system.
_AWAY_STATES = ("08", "28", "25006", "40001", "40P01", "53", "55P03", "57", "58")
_AWAY_SQLITE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
)
