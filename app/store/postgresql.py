"""Connections to PostgreSQL: asyncpg's pool for the statements of every request, SQLAlchemy's engine for the rest."""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.errors import ConfigurationError, StoreUnavailable
from app.store.engine import AWAY, STATEMENT_TIMEOUT_S, DatabaseUrl, unavailability

T = TypeVar("T")
RELEASE_TIMEOUT_S = 1.0
IDLE_S = 300.0
"""Idle time after which a connection is closed: a firewall in between may have dropped it silently."""
TRIES = 3
CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
ROLLED_BACK = (*CONTENDED, asyncpg.IntegrityConstraintViolationError)
"""After these errors a connection is as good as before. After any other it may belong to a server that became a standby."""
_LOGIN_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,  # Its subclass is the wrong password.
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    ssl.SSLCertVerificationError,
)


class Pool:
    """Pool of at most `connections_max` connections; each statement is a transaction of its own.

    Raises StoreUnavailable, StorageFull, or asyncpg's error when the statement itself was wrong.
    """

    def __init__(self, where: DatabaseUrl, connections_max: int):
        self._pool = asyncpg.create_pool(
            where.dsn,
            connect=connect,
            min_size=0,
            max_size=connections_max,
            max_inactive_connection_lifetime=IDLE_S,
            reset=_keep,
            **_options(where, STATEMENT_TIMEOUT_S),
        )

    async def row(self, statement: str, *values: Any) -> Any:
        """Return the first row of a statement, or None."""
        return await self._try(lambda connection: connection.fetchrow(statement, *values))

    async def value(self, statement: str, *values: Any) -> Any:
        """Return the first value of a statement's first row, or None."""
        return await self._try(lambda connection: connection.fetchval(statement, *values))

    async def close(self) -> None:
        """Close the connections once their statements have ended, after STATEMENT_TIMEOUT_S at the latest. Idempotent."""
        await self._pool
        with suppress(TimeoutError):
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                await self._pool.close()

    async def _try(self, run: Callable[[Any], Awaitable[T]]) -> T:
        """Run a statement; repeat it only after a deadlock or a serialization failure, which rolled it back."""
        for attempt in range(1, TRIES + 1):
            try:
                return await self._with_connection(run)
            except CONTENDED as exc:
                if attempt == TRIES:
                    raise StoreUnavailable(AWAY) from exc
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    async def _with_connection(self, run: Callable[[Any], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                await self._pool  # Opens the pool at the first call; with `min_size` 0 this connects nothing.
                connection = await self._pool.acquire()
            try:
                return await run(connection)
            except BaseException as exc:
                if not isinstance(exc, ROLLED_BACK):
                    await _end(connection)
                raise
            finally:
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await self._pool.release(connection, timeout=RELEASE_TIMEOUT_S)
        except CONTENDED:
            raise
        except ConfigurationError as exc:  # A password that was changed while the gateway runs.
            raise StoreUnavailable(AWAY) from exc
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
            if (error := _unavailability(exc)) is None:
                raise
            raise error from exc


def create_engine(where: DatabaseUrl, statement_timeout_s: float) -> AsyncEngine:
    """SQLAlchemy's engine over connections that `connect` opens."""

    async def connected(**_: Any) -> Any:
        return await connect(where.dsn, **_options(where, statement_timeout_s))

    arguments: dict[str, Any] = {"async_creator_fn": connected}
    if not where.prepared_statements:
        # The unnamed statement: parsed with each execution, so that it may run on any of PgBouncer's connections.
        arguments |= {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
    engine = create_async_engine(
        "postgresql+asyncpg://", pool_size=5, max_overflow=5, pool_timeout=5, pool_pre_ping=True, connect_args=arguments
    )
    sa.event.listen(engine.sync_engine, "handle_error", _leave_standby)
    return engine


def _leave_standby(context: sa.engine.ExceptionContext) -> None:
    """Use no connection of the pool again after one was refused a write: its server has become a standby."""
    if getattr(context.original_exception, "sqlstate", None) == asyncpg.ReadOnlySQLTransactionError.sqlstate:
        context.is_disconnect = True


async def connect(dsn: str, **options: Any) -> Any:
    """Open a connection. Raises ConfigurationError for a wrong URL or a refused login, StoreUnavailable when the server does not
    answer."""
    try:
        return await asyncpg.connect(dsn, **options)
    except _LOGIN_REFUSED as exc:
        raise ConfigurationError(f"PostgreSQL says: {exc}. Check IMAGEGATE_DATABASE_URL.") from exc
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
        raise StoreUnavailable(AWAY) from exc


def _options(where: DatabaseUrl, statement_timeout_s: float) -> dict[str, Any]:
    options = {"timeout": STATEMENT_TIMEOUT_S, "command_timeout": statement_timeout_s}
    return options if where.prepared_statements else {**options, "statement_cache_size": 0}


async def _end(connection: Any) -> None:
    """Close a connection. A statement that still runs on it is cancelled on the server first; else it could be committed later."""
    with suppress(Exception):
        await connection.close(timeout=RELEASE_TIMEOUT_S)


async def _keep(_connection: Any) -> None:
    """Reset nothing: a statement that is its own transaction leaves nothing behind, and asyncpg's reset is a round trip."""


def _unavailability(exc: Exception) -> Exception | None:
    """Classify an exception like `unavailability`; errors of asyncpg about its connection are StoreUnavailable too."""
    client_side = isinstance(exc, (asyncpg.InterfaceError, asyncpg.InternalClientError))
    if client_side and not isinstance(exc, ValueError):  # With a ValueError it refuses a wrong argument.
        return StoreUnavailable(AWAY)
    return unavailability(exc)
