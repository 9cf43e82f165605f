"""Chore that gives the pictures of stored answers to the library, and leaves only the rest in the answers. Those that are only
links of the relay are fetched.

It works after SETTLE and only with what SETTLE has stored, so it changes nothing about the money of a request. Each step can be
repeated: a process that dies anywhere in between leaves an answer that is taken again. Answers without links are taken together;
each of the others has a task of its own, so that a slow server of pictures holds up no other answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from app.blobs.fetched import FetchedFiles
from app.blobs.picture_files import PictureFiles
from app.core.endings import RequestEnded, RequestRefused
from app.core.intervals import DAY_MS
from app.errors import GatewayError
from app.images.answer_removal import AnswerRemoval
from app.images.answers import KeptAnswers
from app.images.crash import crash_point
from app.images.linked import ReadAnswer, fetch_links
from app.images.storing import PictureStoring
from app.spool import Spool
from app.store.clock import Clock
from app.store.pictures import PictureRecord, PictureRows, UntakenAnswer
from app.upstream.fetch import PictureFetcher

BATCH = 20
"""Answers whose pictures are recorded in one transaction."""
PAUSE_S = 0.25
"""Time in which ended requests are gathered."""
SWEEP_S = 60.0
"""Time between two looks for answers that no process has announced, which are made older than this by other replicas."""
LINKED_AT_ONCE = 64
"""Most answers with links that are taken at the same time, besides those that a client waits for."""
FETCH_SPARE_S = 5.0
"""Time beyond the deadline of a fetch that a client waits for its pictures to be kept."""
AGAIN_S = 5.0
"""Longest wait in which a repeated taking shows whether it fails again."""
LOST_MS = DAY_MS
"""Time after its expiry in which an answer without a file is waited for: its replica may come back."""
EVER_MS = 2**62
"""Newest answer of the first sweep: the clock of the process that died may have been ahead."""
T = TypeVar("T")
log = structlog.get_logger()


class PicturesNotTaken(Exception):
    """Raised when the pictures of some answers could not be taken for an error of this program; the log has it."""


@dataclass(slots=True)
class PictureTaking:
    """Taking of pictures from stored answers. Answers of this process are announced by `hear`; those of dead ones, and of other
    replicas that do not take them, are found by a sweep."""

    kept_answers: KeptAnswers
    rows: PictureRows
    storing: PictureStoring
    fetcher: PictureFetcher
    clock: Clock
    on_taken: Callable[[Sequence[PictureRecord]], None] = lambda _: None
    """Listener that hears of the pictures that are kept now; it must not wait."""
    _ended: dict[str, None] = field(default_factory=dict, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _swept_at_ms: int | None = field(default=None, init=False)
    _failed: int = field(default=0, init=False)
    _linked: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)
    """Tasks that take answers with links, by request."""
    _queued: dict[str, None] = field(default_factory=dict, init=False)
    """Requests whose answers have links and wait for such a task."""
    _fetched: dict[str, asyncio.Event] = field(default_factory=dict, init=False)
    """Events of these tasks: their links have been followed, or they have ended."""
    _again: dict[str, GatewayError] = field(default_factory=dict, init=False)
    """Requests whose task failed and is repeated, with the reason."""

    @property
    def keep_ms(self) -> int:
        """Time that a picture is kept, in ms; 0 when none are."""
        return self.storing.keep_ms

    @property
    def removal(self) -> AnswerRemoval:
        return AnswerRemoval(self.kept_answers, self.rows, self.storing)

    @property
    def files(self) -> PictureFiles:
        return self.storing.files

    def hear(self, event: RequestEnded | RequestRefused) -> None:
        """Announce a settled request. This is a listener."""
        if isinstance(event, RequestEnded) and event.outcome == "settled":
            self._ended[event.request_id] = None
            self._wake.set()

    async def turn(self) -> None:
        """Wait for a settled request or the next sweep, then take what is there, except that links are followed later. Raises
        GatewayError while the disk, the bucket or the database fails, and PicturesNotTaken; both are repeated."""
        if not self._ended and not self._again and self._swept_at_ms is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._wake.wait()
            await asyncio.sleep(PAUSE_S)
        self._wake.clear()
        await self._take_announced()

    async def take_now(self, request_id: str) -> None:
        """Take the pictures of an answer with links at once, if they are not taken yet, and wait until that has ended: for the
        deadline of a fetch and FETCH_SPARE_S at most. Never raises; the work goes on without its waiters."""
        task = self._start(request_id)
        await asyncio.wait({task}, timeout=self.fetcher.deadline_s + FETCH_SPARE_S)

    async def fetch_now(self, request_id: str) -> FetchedFiles:
        """Follow the links of an answer at once, wait for that as long as `take_now` does, and return the files of what was
        fetched. They are there until their pictures are kept, which goes on. Never raises."""
        self._start(request_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.fetcher.deadline_s + FETCH_SPARE_S):
                await self._fetched[request_id].wait()
        return FetchedFiles(self.kept_answers.directory)

    async def take_all(self) -> None:
        """Take the pictures of all announced answers and, at its time, of those found by a sweep, and wait for their links. Raises
        as `turn` does."""
        await self._take_announced()
        while self._linked:
            await asyncio.wait(self._linked.values())
        self._raise_failure()

    async def close(self) -> None:
        """End all tasks and close the connections to servers of pictures. Idempotent."""
        self._queued.clear()
        tasks = list(self._linked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.fetcher.close()

    async def _take_announced(self) -> None:
        again, self._again = self._again, {}
        repeated = {self._start(request_id) for request_id in again}
        while self._ended:
            batch = list(self._ended)[:BATCH]
            await self._take(await self.rows.untaken_of(batch))
            for request_id in batch:
                self._ended.pop(request_id, None)
        now_ms = self.clock.now_ms()
        if self._swept_at_ms is None or self._swept_at_ms <= now_ms - SWEEP_S * 1000:
            await self.sweep(EVER_MS if self._swept_at_ms is None else now_ms - int(SWEEP_S * 1000))
            self._swept_at_ms = now_ms
        if repeated:
            await asyncio.wait(repeated, timeout=AGAIN_S)
        self._raise_failure()

    def _raise_failure(self) -> None:
        failed, self._failed = self._failed, 0
        for error in self._again.values():
            raise error
        if failed:
            raise PicturesNotTaken(f"The pictures of {failed} stored answers could not be taken.")

    async def sweep(self, newest_ms: int) -> None:
        """Take the pictures of all answers made at `newest_ms` (Unix ms) or before. It also removes the answers whose
        pictures were taken, but which were not removed then, because the process died or the bucket failed, and copies of answers
        that another replica emptied or erased."""
        await self.removal.remove_left()
        after = (0, "")
        while batch := await self.rows.untaken(newest_ms, BATCH, after=after):
            await self._take(batch)
            after = (batch[-1].created_at_ms, batch[-1].request.id)

    async def _take(self, answers: Sequence[UntakenAnswer]) -> None:
        """Take answers without links together, and have a task for each of the others."""
        read: list[ReadAnswer] = []
        try:
            for answer in answers:
                if answer.request.id in self._linked:
                    continue
                each = await self._or_none(answer, self._read(answer))
                if each is not None and any(each.links()):
                    each.close()
                    self._queued[answer.request.id] = None
                    self._start_queued()
                elif each is not None:
                    read.append(each)
            await self._record(read)
        finally:
            for each in read:
                each.close()

    def _start_queued(self) -> None:
        while self._queued and len(self._linked) < LINKED_AT_ONCE:
            self._start(next(iter(self._queued)))

    def _start(self, request_id: str) -> asyncio.Task[None]:
        """Return the task that takes an answer with links, the running one where there is one."""
        self._queued.pop(request_id, None)
        if (running := self._linked.get(request_id)) is not None:
            return running
        self._fetched[request_id] = asyncio.Event()
        task = self._linked[request_id] = asyncio.create_task(self._take_linked(request_id))
        task.add_done_callback(lambda done: self._linked_ended(request_id, done))
        return task

    def _linked_ended(self, request_id: str, task: asyncio.Task[None]) -> None:
        del self._linked[request_id]
        self._fetched.pop(request_id).set()
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, GatewayError):
            self._again[request_id] = error
            self._wake.set()
        elif error is not None:
            log.error("the pictures of a stored answer cannot be taken", request_id=request_id, exc_info=error)
            self._failed += 1
        self._start_queued()

    async def _take_linked(self, request_id: str) -> None:
        """Fetch the links of an answer and take its pictures, if they are not taken yet. Raises GatewayError."""
        files = FetchedFiles(self.kept_answers.directory)
        for answer in await self.rows.untaken_of([request_id]):
            each = await self._or_none(answer, self._read(answer))
            if each is None:
                continue
            try:
                await fetch_links(self.fetcher, files, each)
                self._fetched[request_id].set()
                crash_point("after_fetch")
                if await self._record([each]):
                    files.remove(f"{request_id}_{index}" for index in each.fetched)
            finally:
                each.close()

    async def _record(self, read: Sequence[ReadAnswer]) -> list[str]:
        """Store the pictures of these answers, record them, and remove the answers that they were cut out of; returns the requests
        of which all that was done. An answer goes only once the files of its pictures are there although their rows are."""
        stored = [await self._or_none(each.answer, self.storing.store(each)) for each in read]
        taken = {each.request_id: each for each in stored if each is not None}
        if not taken:
            return []
        recorded = await self.rows.record(list(taken.values()))
        crash_point("after_pictures")
        certain = [
            taken[each.answer.request.id]
            for each in read
            if each.answer.request.id in recorded and await self.removal.ensured(each)
        ]
        finished = await self.rows.finish(certain)
        # Where nothing was finished, the answer has gone: its person was erased, or a picture deleted, or a replica was faster.
        lost = [
            picture.digest for each in taken.values() if each.request_id not in finished for picture in each.pictures
        ]
        if lost:
            await self.files.remove(await self.rows.unnamed(lost), self.rows.unnamed)
        self.on_taken([picture for request_id in finished for picture in taken[request_id].pictures])
        crash_point("after_cuts")
        await self.removal.remove([request_id for request_id in finished if taken[request_id].body is not None])
        return finished

    async def _or_none(self, answer: UntakenAnswer, step: Awaitable[T]) -> T | None:
        """Await a step for an answer. Return None for an error of this program, because others must not wait for an answer that
        cannot be read. Raises GatewayError."""
        try:
            return await step
        except GatewayError:
            raise
        except Exception:
            log.exception("the pictures of a stored answer cannot be taken", request_id=answer.request.id)
            self._failed += 1
            return None

    async def _read(self, answer: UntakenAnswer) -> ReadAnswer | None:
        """Open and read an answer; the caller closes it. Return None when that has to wait."""
        crash_point("before_pictures")
        spool = await self.kept_answers.open_untaken(answer)
        if spool is None:
            is_lost = answer.expires_at_ms <= self.clock.now_ms() - LOST_MS
            return ReadAnswer(answer, Spool(self.kept_answers.directory), ()) if is_lost else None
        return await self.removal.parsed(answer, spool)
