"""Connections to PostgreSQL for statements that every request passes: plain asyncpg, opened when they are needed."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from app.errors import StoreUnavailable
from app.store.engine import AWAY, unavailability

T = TypeVar("T")
STATEMENT_TIMEOUT_S = 5.0
END_TIMEOUT_S = 1.0
IDLE_S = 300.0
"""What has waited longer is not used: whatever lies between may have forgotten it without a word."""
TRIES = 3
CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
ROLLED_BACK = (*CONTENDED, asyncpg.IntegrityConstraintViolationError)
"""After these a connection is as good as before. The text of the last quotes what clients wrote, which may sound like anything."""


class Pool:
    """One statement at a time, each a transaction of its own. Raises StoreUnavailable or StorageFull.

    asyncpg's own pool makes a task and three objects for each statement, which is more work than the statement.
    """

    def __init__(self, url: str, connections_max: int):
        self._url = url
        self._turns = asyncio.Semaphore(connections_max)
        self._idle: list[tuple[asyncpg.Connection, float]] = []
        """Each with when it was put there, in seconds of `time.monotonic`."""
        self._closed = False

    async def row(self, statement: str, *values: Any) -> Any:
        """Its first row, or None."""
        return await self._try(lambda connection: connection.fetchrow(statement, *values))

    async def value(self, statement: str, *values: Any) -> Any:
        """The first value of its first row, or None."""
        return await self._try(lambda connection: connection.fetchval(statement, *values))

    async def close(self) -> None:
        """Whoever works with a connection closes it afterwards. Idempotent."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop()[0])

    async def _try(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Deadlocks and serialization failures rolled back whole, so they are tried again; nothing else is."""
        for attempt in range(TRIES):
            try:
                return await self._with_connection(work)
            except CONTENDED as exc:
                if attempt == TRIES - 1:
                    raise (unavailability(exc) or exc) from exc
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    async def _with_connection(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        try:
            await self._turn()
            try:
                return await self._work(work)
            finally:
                self._turns.release()
        except ROLLED_BACK:
            raise
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise (unavailability(exc) or exc) from exc
        except (OSError, TimeoutError, asyncpg.InternalClientError) as exc:
            # The last is what asyncpg says of a connection that is lost just as it is used.
            raise StoreUnavailable(AWAY) from exc

    async def _turn(self) -> None:
        """There are only so many connections. Raises TimeoutError."""
        if not self._turns.locked():
            await self._turns.acquire()
            return
        async with asyncio.timeout(STATEMENT_TIMEOUT_S):
            await self._turns.acquire()

    async def _work(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Of those that wait the one used last; one that failed, or was left in the middle of something, is not used again."""
        connection = self._waiting() or await self._connect()
        try:
            outcome = await work(connection)
        except BaseException as exc:
            if isinstance(exc, ROLLED_BACK):
                self._give_back(connection)
            else:
                await _end(connection)
            raise
        self._give_back(connection)
        return outcome

    def _waiting(self) -> asyncpg.Connection | None:
        while self._idle:
            connection, since_s = self._idle.pop()
            if time.monotonic() - since_s > IDLE_S:
                connection.terminate()
            elif not connection.is_closed():
                return connection
        return None

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._url, timeout=STATEMENT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S)

    def _give_back(self, connection: asyncpg.Connection) -> None:
        if self._closed:
            connection.terminate()
        else:
            self._idle.append((connection, time.monotonic()))


async def _end(connection: asyncpg.Connection) -> None:
    """What it still does is cancelled on the server first: else it would go on there, and be committed behind our back."""
    with suppress(Exception):
        await connection.close(timeout=END_TIMEOUT_S)
