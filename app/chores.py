"""Background work: supervised chores that repeat at intervals, and tasks that outlive the request that started them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

FIRST_RETRY_S = 1.0
FIRST_TURN_S = 5.0
"""Longest time from the start to the first turn of a chore that asks for no other."""
STOP_S = 10.0
"""Longest time for the last turns of all chores at shutdown."""
Turn = Callable[[], Awaitable[object]]
WhenFit = Callable[[Turn], Turn]
"""Function that lets a turn run only once the schema of the database was found to fit this version."""
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chore:
    """Repeated work. `turn` runs again `every_s` seconds after it ended; after an exception, with a backoff of 1 s that doubles up
    to `retry_s_max`. The first turn waits `first_after_s`; None is `every_s`, FIRST_TURN_S at most: a gateway does what it needs
    at its start before its chores, and the rest need not come all at once."""

    name: str
    turn: Callable[[], Awaitable[object]]
    every_s: float
    first_after_s: float | None = None
    retry_s_max: float = 30.0
    last_turn: Callable[[], Awaitable[object]] | None = None
    """Function that runs once when the gateway closes."""


@dataclass(slots=True)
class ChoreState:
    """State of a chore. `succeeded_at_s` is the monotonic time of the last successful turn; `error` is the class name of the last
    turn's exception, None after success; `failures` counts the failed turns since."""

    succeeded_at_s: float | None = None
    error: str | None = None
    failures: int = 0


@dataclass(slots=True)
class Chores:
    """Supervisor of chores. Each runs in a task of its own and is repeated after any exception; `expected` ones, such as those of
    an unavailable database, are logged without a traceback."""

    chores: Sequence[Chore]
    expected: tuple[type[Exception], ...] = ()
    states: dict[str, ChoreState] = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _stopping: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.states = {chore.name: ChoreState() for chore in self.chores}

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._supervise(chore), name=chore.name) for chore in self.chores]

    async def stop(self) -> None:
        """End all chores, then run their last turns, for STOP_S at most. Never raises."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ending = [chore for chore in self.chores if chore.last_turn is not None]
        await asyncio.gather(*(self._run_last(chore) for chore in ending))

    async def run_once(self, name: str) -> bool:
        """Run one turn of a chore now and record its outcome. Return False when it raised."""
        [chore] = [chore for chore in self.chores if chore.name == name]
        return await self._run(chore)

    def errors(self) -> dict[str, str]:
        """Return the class name of the last exception of each failing chore, by chore name."""
        return {name: state.error for name, state in self.states.items() if state.error is not None}

    async def _supervise(self, chore: Chore) -> None:
        first_after_s = min(chore.every_s, FIRST_TURN_S) if chore.first_after_s is None else chore.first_after_s
        await asyncio.sleep(first_after_s)
        while True:
            succeeded = await self._run(chore)
            await asyncio.sleep(chore.every_s if succeeded else self._backoff_s(chore))

    def _backoff_s(self, chore: Chore) -> float:
        exponent = min(self.states[chore.name].failures - 1, 10)
        return float(min(FIRST_RETRY_S * 2**exponent, chore.retry_s_max))

    async def _run(self, chore: Chore) -> bool:
        state = self.states[chore.name]
        try:
            await chore.turn()
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if self._stopping or (task is not None and task.cancelling()):
                raise
            self._note_failure(chore, exc)  # A cancellation that leaked from a library must not end the chore.
            return False
        except Exception as exc:
            self._note_failure(chore, exc)
            return False
        if state.error is not None:
            log.info("a chore works again", chore=chore.name)
        state.succeeded_at_s, state.error, state.failures = time.monotonic(), None, 0
        return True

    def _note_failure(self, chore: Chore, exc: BaseException) -> None:
        state, error = self.states[chore.name], type(exc).__name__
        is_new = state.error != error
        state.error, state.failures = error, state.failures + 1
        if not isinstance(exc, self.expected):
            log.error("a chore failed", chore=chore.name, failures=state.failures, exc_info=exc)
        elif is_new:
            log.warning("a chore has to wait", chore=chore.name, reason=str(exc))

    async def _run_last(self, chore: Chore) -> None:
        assert chore.last_turn is not None
        try:
            async with asyncio.timeout(STOP_S):
                await chore.last_turn()
        except Exception as exc:
            log.warning("the last turn of a chore failed", chore=chore.name, error=type(exc).__name__)


class BackgroundTasks:
    """Tasks that outlive the request that started them, and are finished before the process exits."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, awaited: bool = False) -> asyncio.Task[T]:
        """Start a task. `awaited`: the caller handles its outcome, so a failure is not logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget if awaited else self._report)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def finish(self, timeout_s: float) -> int:
        """Wait up to `timeout_s` for all tasks, then cancel the others. Returns how many were cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._tasks:  # Those that end may start others.
                    await asyncio.wait(self._tasks)
        unfinished = [task for task in self._tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished, timeout=5)
        return len(unfinished)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Retrieve it, so that asyncio logs nothing when no client waited.

    def _report(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", error=type(error).__name__, exc_info=error)
