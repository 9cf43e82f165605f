"""Work that belongs to the process and not to the connection that asked for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger()


class BackgroundTasks:
    """Tasks that outlive their request. Whoever awaits one may be cancelled; the task goes on."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, awaited: bool = False) -> asyncio.Task[T]:
        """`awaited`: somebody looks at the outcome, so a failure is not news for the log."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget if awaited else self._report)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def finish(self, timeout_s: float) -> int:
        """Wait for all that run, then cancel what still does. How many had to be cancelled."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        left = [task for task in self._tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=5)
        return len(left)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not complain when the client has gone.

    def _report(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", error=type(error).__name__, exc_info=error)
