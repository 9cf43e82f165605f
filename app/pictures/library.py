"""Kept pictures: what their owners see and change, and their removal, by hand and by housekeeping."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from app.blobs.fetched import FetchedFiles
from app.blobs.folder import LISTED_AT_ONCE, Blobs, BlobUnavailable
from app.blobs.picture_files import PictureFiles
from app.chores import Chore, WhenFit
from app.core.intervals import DAY_MS
from app.errors import BadRequest, InvalidValue, NotFound, Overloaded
from app.pictures.thumbnails import Thumbnails
from app.spool import Spool
from app.store.backups import BackupRows
from app.store.clock import Clock
from app.store.due_pictures import DuePictures
from app.store.pages import Cursor, Page
from app.store.picture_lists import (
    PictureDetail,
    PictureFilter,
    PictureViewer,
    Viewer,
    change_picture,
    find_picture,
    find_pictures,
    page_of_pictures,
)
from app.store.pictures import PictureRecord, PictureRows, Visibility
from app.store.time_limit import time_limit

STRAYS_EVERY_S = 100.0
"""Time between two comparisons of all files with the rows, which take 1.6 s of one core for 100,000 files."""
STRAY_YOUNG_S = 60.0
"""Age below which a file may be without a row: it is recorded in a moment."""
KEEP_MS_MAX = 3652 * DAY_MS
SEARCH_S = 3.0
"""Longest time for a search for words, and before it for its place."""
SEARCHES = "Other searches for words run now, one after another. Try again in a few seconds."
NO_PICTURE = (
    "There is no such picture, or it is not yours. GET /v1/images/pictures lists those you may see; an administrator sees all with "
    "`imagegate pictures list`."
)


@dataclass(frozen=True, slots=True)
class RemovedPictures:
    """Pictures that were removed, and the bytes of their files, which equal pictures share. `has_more`: others are due. `failed`
    names pictures that are still there because the bucket did not remove them."""

    pictures: int = 0
    file_bytes: int = 0
    has_more: bool = False
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureLibrary:
    """Pictures that are kept: rows, and the files they name. `bytes_max` is the most that all may take."""

    rows: PictureRows
    files: PictureFiles
    answers: Blobs
    """Stored answers, some of which hold a picture whole: its removal takes them as well."""
    thumbnails: Thumbnails
    clock: Clock
    bytes_max: int
    take_now: Callable[[str], Awaitable[None]] | None = None
    """Taking of the pictures of one request at once; None where that is another process's."""
    searching: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Place of the one search for words that runs at a time: others wait without a connection to the database."""
    search_s: float = SEARCH_S

    async def page(self, viewer: Viewer, cursor: Cursor, wanted: PictureFilter) -> Page[PictureDetail]:
        """Read a page of the pictures that a viewer may see. Raises InvalidValue for the cursor, StoreUnavailable, and for a
        search that takes or waits too long BadRequest and Overloaded."""
        if wanted.words:
            return await self._search(viewer, cursor, wanted)
        return await self.rows.database.ask(page_of_pictures, viewer, cursor, wanted)

    async def _search(self, viewer: Viewer, cursor: Cursor, wanted: PictureFilter) -> Page[PictureDetail]:
        try:
            async with asyncio.timeout(self.search_s):
                await self.searching.acquire()
        except TimeoutError:
            raise Overloaded(SEARCHES) from None
        try:
            message = (
                f"The search for these words took longer than {self.search_s:g} s. Narrow it by model, person or time."
            )
            too_long = BadRequest(message, param="words")
            async with self.rows.database.read() as connection, time_limit(connection, self.search_s, too_long):
                return await page_of_pictures(connection, viewer, cursor, wanted)
        finally:
            self.searching.release()

    async def show(self, viewer: Viewer, picture_id: str) -> PictureDetail:
        """Read a picture that a viewer may see. Raises NotFound for any other, StoreUnavailable."""
        found = await self._found(viewer, picture_id)
        if found is None and await self._taken_now(picture_id):
            found = await self._found(viewer, picture_id)
        if found is None:
            raise NotFound(NO_PICTURE)
        return found

    async def _found(self, viewer: Viewer, picture_id: str) -> PictureDetail | None:
        return await self.rows.database.ask(find_picture, viewer, picture_id)

    async def _taken_now(self, picture_id: str) -> bool:
        """Have the pictures of a stored answer kept at once, if they are not yet: an answer names its pictures a moment before.
        Return False when there is nothing to keep. Raises BlobUnavailable when they cannot be kept now."""
        request_id = picture_id.rpartition("_")[0]
        if self.take_now is None or not await self.rows.untaken_of([request_id]):
            return False
        await self.take_now(request_id)
        if await self.rows.untaken_of([request_id]):
            raise BlobUnavailable(
                "The pictures of this answer are not stored yet. Nothing is lost; try again in a moment."
            )
        return True

    async def several(self, viewer: Viewer, picture_ids: Sequence[str]) -> list[PictureDetail]:
        """Read those of these pictures that a viewer may see, newest first. Raises StoreUnavailable."""
        return await self.rows.database.ask(find_pictures, viewer, picture_ids)

    async def change(
        self,
        viewer: PictureViewer,
        picture_id: str,
        *,
        visibility: Visibility | None = None,
        kept_until_ms: int | None = None,
    ) -> PictureDetail:
        """Change who sees an own picture, and how long it is kept (Unix ms, within KEEP_MS_MAX from now). Raises NotFound,
        InvalidValue, StoreUnavailable."""
        now_ms = self.clock.now_ms()
        if kept_until_ms is not None and not now_ms < kept_until_ms <= now_ms + KEEP_MS_MAX:
            raise InvalidValue("kept_until must be in the future, and within ten years.", param="kept_until")
        await self.show(viewer, picture_id)
        async with self.rows.database.transaction() as connection:
            is_own = await change_picture(
                connection, viewer, picture_id, visibility=visibility, kept_until_ms=kept_until_ms
            )
        if not is_own:
            raise NotFound(NO_PICTURE)
        return await self.show(viewer, picture_id)

    async def delete(self, viewer: PictureViewer, picture_id: str) -> None:
        """Remove an own picture for good; its links and the replays of its answer end. Raises as `change` and `remove` do."""
        await self.change(viewer, picture_id)
        await self.remove([picture_id])

    async def open(self, record: PictureRecord) -> Spool:
        """Open the bytes of a picture; the caller closes them. Raises NotFound when they are gone, BlobUnavailable."""
        return await self.files.open_kept(record.id, record.digest)

    async def find(self, picture_id: str) -> PictureRecord:
        """Read a picture for whoever has a link to it. Raises NotFound, StoreUnavailable."""
        record = await self.rows.find(picture_id)
        if record is None and await self._taken_now(picture_id):
            record = await self.rows.find(picture_id)
        if record is None:
            raise NotFound(NO_PICTURE)
        return record

    async def remove(self, picture_ids: Sequence[str]) -> int:
        """Remove pictures, the stored answers that hold them, and the files and thumbnails that no other picture names; returns the
        bytes of those files. Absent ones are no error.

        While a backup runs only the rows go, and the files when it has ended. Raises StoreUnavailable, and BlobUnavailable while
        the bucket fails: then their rows stay, so that the same call can be repeated.
        """
        files = await self.rows.only_files(picture_ids)
        await self.answers.remove(await self.rows.answers_in_files(picture_ids))
        await self.thumbnails.files.blobs.remove(list(files))
        await self.files.remove(list(files), self.rows.unnamed, partial(self.rows.forget, picture_ids))
        return sum(files.values())

    async def remove_strays(self, young_s: float = STRAY_YOUNG_S) -> None:
        """Remove the files here that no row names, unless they are younger than `young_s`, with the objects of their names in a
        bucket: pictures that were stored, or fetched, and not recorded, and copies of what another replica has removed.

        It also ends the removals of processes that died. Raises StoreUnavailable, and BlobUnavailable while the bucket fails or a
        backup copies the files.
        """
        if await self._is_copied():
            raise BlobUnavailable(
                "A backup copies the files of pictures; what no row names is removed when it has ended."
            )
        async for strays in self._strays(self.files, young_s):
            await self.files.remove(strays, self.rows.unnamed)
        async for strays in self._strays(self.thumbnails.files, young_s):
            await self.thumbnails.files.blobs.remove(strays)
        await self.files.end_left_aside(self.rows.unnamed)
        fetched = await asyncio.to_thread((files := FetchedFiles(self.answers.directory)).by_request)
        for answer in await self.rows.untaken_of(list(fetched)):
            del fetched[answer.request.id]
        files.remove(name for names in fetched.values() for name in names)

    async def _strays(self, files: PictureFiles, young_s: float) -> AsyncGenerator[list[str], None]:
        await asyncio.to_thread(files.tidy)
        names = await asyncio.to_thread(files.blobs.names)
        for first in range(0, len(names), LISTED_AT_ONCE):
            unnamed = await self.rows.unnamed(names[first : first + LISTED_AT_ONCE])
            if strays := files.older_than(unnamed, young_s):
                yield strays

    async def due(self) -> DuePictures:
        """Count what `prune` would remove now. Raises StoreUnavailable."""
        now_ms = self.clock.now_ms()
        return await self.rows.due(now_ms, await self._newest_above(now_ms))

    async def prune(self, for_s: float = math.inf) -> RemovedPictures:
        """Remove pictures whose time has passed, then the oldest above `bytes_max` but none younger than a day.

        Works in steps of up to PRUNE_MAX, begins none after `for_s`, and ends when the bucket fails. Raises StoreUnavailable.
        """
        until_s, count, file_bytes = time.monotonic() + for_s, 0, 0
        async with aclosing(self._steps(self.clock.now_ms())) as steps:
            async for step in steps:
                if count and time.monotonic() >= until_s:
                    return RemovedPictures(count, file_bytes, has_more=True)
                try:
                    file_bytes += await self.remove(step)
                except BlobUnavailable:
                    return RemovedPictures(count, file_bytes, has_more=True, failed=tuple(step))
                count += len(step)
        return RemovedPictures(count, file_bytes)

    def chores(self, when_fit: WhenFit) -> Iterator[Chore]:
        """Yield the background jobs of kept pictures and of their thumbnails."""
        yield Chore("pruning of pictures", when_fit(self.turn), every_s=60.0, first_after_s=10.0)
        yield Chore(
            "stray files of pictures", when_fit(self._remove_strays), every_s=STRAYS_EVERY_S, first_after_s=15.0
        )
        yield from self.thumbnails.chores(when_fit)

    async def _is_copied(self) -> bool:
        return await BackupRows(self.rows.database).is_running()

    async def _remove_strays(self) -> None:
        if not await self._is_copied():
            await self.remove_strays()

    async def turn(self) -> None:
        """Prune as a chore does. Raises StoreUnavailable, and BlobUnavailable while the bucket fails."""
        if failed := (await self.prune()).failed:
            raise BlobUnavailable(f"The bucket did not remove {len(failed)} pictures; they are tried again.")

    async def _steps(self, now_ms: int) -> AsyncGenerator[list[str], None]:
        while step := await self.rows.expired(now_ms):
            yield step
        newest_ms = await self._newest_above(now_ms)
        while newest_ms is not None and (step := await self.rows.made_by(newest_ms)):
            yield step

    async def _newest_above(self, now_ms: int) -> int | None:
        return await self.rows.newest_above(self.bytes_max, now_ms - DAY_MS, now_ms)
