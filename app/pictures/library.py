"""Kept pictures: their removal, by hand and by housekeeping."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.blobs.picture_files import PictureFiles
from app.core.intervals import DAY_MS
from app.store.clock import Clock
from app.store.pictures import PictureRows


@dataclass(frozen=True, slots=True)
class PictureLibrary:
    """Pictures that are kept: rows, and the files they name. `bytes_max` is the most that all may take."""

    rows: PictureRows
    files: PictureFiles
    clock: Clock
    bytes_max: int

    async def remove(self, picture_ids: Sequence[str]) -> None:
        """Remove pictures and the files that no other picture names; absent ones are no error. Raises StoreUnavailable, and
        BlobUnavailable while the bucket fails: then their rows stay, so that the same call can be repeated."""
        async with self.files.lock:
            await self.files.blobs.remove(await self.rows.only_digests(picture_ids))
            await self.rows.forget(picture_ids)

    async def prune(self) -> int:
        """Remove pictures whose time has passed, then the oldest above `bytes_max` but none younger than a day; returns how many.

        Works in steps of up to PRUNE_MAX. Raises as `remove` does.
        """
        now_ms, removed = self.clock.now_ms(), 0
        while step := await self.rows.expired(now_ms):
            await self.remove(step)
            removed += len(step)
        newest_ms = await self.rows.newest_above(self.bytes_max, now_ms - DAY_MS)
        while newest_ms is not None and (step := await self.rows.made_by(newest_ms)):
            await self.remove(step)
            removed += len(step)
        return removed
