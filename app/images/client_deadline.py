"""How long a client is kept waiting for what goes on without it."""

import asyncio
from typing import Any


class ClientDeadline:
    """`over` is done once `task` has ended, `deadline_s` have passed, or `end` was called; its result says why, where it was not
    the task. One for each client: whoever stops waiting for something that a thousand share looks through them all."""

    def __init__(self, task: "asyncio.Task[Any]", deadline_s: float):
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[str] = loop.create_future()
        self._deadline_s = deadline_s
        self._alarm = loop.call_later(deadline_s, self._pass)
        task.add_done_callback(self._see_the_end)

    def end(self, why: str) -> None:
        """Idempotent; the first reason counts."""
        self._alarm.cancel()
        if not self.over.done():
            self.over.set_result(why)

    def _pass(self) -> None:
        self.end(f"{self._deadline_s:.0f} s have passed")

    def _see_the_end(self, _task: "asyncio.Task[Any]") -> None:
        self.end("")
