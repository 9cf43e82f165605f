"""Background work: supervised chores that repeat at their own pace, and tasks that outlive the request that started them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

FIRST_RETRY_S = 1.0
STOP_S = 10.0
"""Longest time that the last turns of all chores may take at the end."""
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chore:
    """Repeated work. `turn` runs once, then again `every_s` after it ended; after an exception it runs again with a backoff of
    1 s, doubled up to `retry_s_max`."""

    name: str
    turn: Callable[[], Awaitable[object]]
    every_s: float
    first_after_s: float = 0.0
    retry_s_max: float = 30.0
    last_turn: Callable[[], Awaitable[object]] | None = None
    """Runs once when the gateway closes."""


@dataclass(slots=True)
class ChoreState:
    """Outcome of a chore so far. `succeeded_at_s` is the monotonic time of the last turn without an error; `error` is the class
    of the last turn's exception, None once a turn went well."""

    succeeded_at_s: float | None = None
    error: str | None = None
    failures: int = 0


@dataclass(slots=True)
class Chores:
    """Runs each chore in a task of its own, and restarts it whatever it raises. `expected` exceptions, such as those of a
    database that is away, are logged without a traceback."""

    chores: Sequence[Chore]
    expected: tuple[type[Exception], ...] = ()
    states: dict[str, ChoreState] = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _stopping: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.states = {chore.name: ChoreState() for chore in self.chores}

    def start(self) -> None:
        """Start all chores; the running event loop holds them until `stop`."""
        self._tasks = [asyncio.create_task(self._supervise(chore), name=chore.name) for chore in self.chores]

    async def stop(self) -> None:
        """End all chores, then run their last turns, for STOP_S at most. Never raises."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        last = [chore for chore in self.chores if chore.last_turn is not None]
        await asyncio.gather(*(self._run_last(chore) for chore in last))

    async def run_once(self, name: str) -> bool:
        """Run one turn of a chore now and note its outcome. False when it raised."""
        [chore] = [chore for chore in self.chores if chore.name == name]
        return await self._run(chore)

    def errors(self) -> dict[str, str]:
        """Class of the last exception of each chore that fails at present, by name."""
        return {name: state.error for name, state in self.states.items() if state.error is not None}

    async def _supervise(self, chore: Chore) -> None:
        await asyncio.sleep(chore.first_after_s)
        while True:
            well = await self._run(chore)
            await asyncio.sleep(chore.every_s if well else self._backoff_s(chore))

    def _backoff_s(self, chore: Chore) -> float:
        exponent = min(self.states[chore.name].failures - 1, 10)
        return float(min(FIRST_RETRY_S * 2**exponent, chore.retry_s_max))

    async def _run(self, chore: Chore) -> bool:
        state = self.states[chore.name]
        try:
            await chore.turn()
        except asyncio.CancelledError as exc:
            if self._stopping:
                raise
            self._note_failure(chore, exc)  # A library's cancellation that leaked out must not end the chore.
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
    """Tasks that outlive their request. Whoever awaits one may be cancelled; the task goes on."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, awaited: bool = False) -> asyncio.Task[T]:
        """Start a task. `awaited`: somebody looks at the outcome, so a failure is not logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget if awaited else self._report)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def finish(self, timeout_s: float) -> int:
        """Wait for all tasks, then cancel those that still run. Returns how many were cancelled."""
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
            task.exception()  # Retrieved, so that asyncio does not complain when the client has gone.

    def _report(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", error=type(error).__name__, exc_info=error)
