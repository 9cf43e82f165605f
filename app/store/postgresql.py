"""Connections to PostgreSQL for statements that every request passes: plain asyncpg, opened when they are needed."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from app.errors import StoreUnavailable
from app.store.engine import AWAY, unavailability

T = TypeVar("T")
STATEMENT_TIMEOUT_S = 5.0
TRIES = 3


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Changes nothing of its session, so nothing has to be put back: asyncpg would send a statement for it after each of ours."""

    def get_reset_query(self) -> str:
        return ""


class Pool:
    """One statement at a time, each a transaction of its own. Raises StoreUnavailable or StorageFull."""

    def __init__(self, url: str, connections_max: int):
        self._url = url
        self._connections_max = connections_max
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def row(self, statement: str, *values: Any) -> Any:
        """Its first row, or None."""
        return await self._try(lambda connection: connection.fetchrow(statement, *values))

    async def value(self, statement: str, *values: Any) -> Any:
        """The first value of its first row, or None."""
        return await self._try(lambda connection: connection.fetchval(statement, *values))

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _try(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Deadlocks and serialization failures rolled back whole, so they are tried again; nothing else is."""
        for attempt in range(TRIES):
            async with self._connection() as connection:
                try:
                    return await work(connection)
                except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                    if attempt == TRIES - 1:
                        raise
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            pool = await self._open_pool()
            async with pool.acquire(timeout=STATEMENT_TIMEOUT_S) as connection:
                yield connection
        except asyncpg.IntegrityConstraintViolationError:
            raise  # Its text quotes what clients wrote, which may sound like anything.
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise (unavailability(exc) or exc) from exc
        except (OSError, TimeoutError, asyncpg.InternalClientError) as exc:
            # The last is what asyncpg says of a connection that is lost just as it is used.
            raise StoreUnavailable(AWAY) from exc

    async def _open_pool(self) -> asyncpg.Pool:
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._pool is None:  # Nobody else has opened it meanwhile.
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._connections_max,
                    command_timeout=STATEMENT_TIMEOUT_S,
                    timeout=5.0,
                    connection_class=_Connection,
                )
            return self._pool
