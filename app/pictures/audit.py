"""Audit of the kept pictures: rows whose bytes are missing, and bytes that no row names."""

import time
from contextlib import aclosing
from dataclasses import dataclass, field

from app.blobs.folder import Blobs, StoredBlob
from app.store.pictures import PictureRecord, PictureRows

YOUNG_S = 3600.0
"""Age below which a file may still be without a row: its answer is being taken."""
NAMED_MAX = 100


@dataclass(frozen=True, slots=True)
class PictureAudit:
    """Result of an audit of pictures: ids of rows and their bytes where those are missing or of another length, and names of files
    and their bytes without a row; of each NAMED_MAX at most. The counts are of all; `link_only` counts pictures that were
    never kept, because the relay's link was all there was."""

    rows: int
    files: int
    rows_without_bytes: int
    bytes_without_rows: int
    link_only: int
    lost: tuple[tuple[str, int], ...] = ()
    stray: tuple[tuple[str, int], ...] = ()


async def audit_pictures(rows: PictureRows, blobs: Blobs, young_s: float = YOUNG_S) -> PictureAudit:
    """Compare the rows of pictures with their files, or their objects in a bucket. Both are read in steps by the name of the file.
    Changes nothing. Raises StoreUnavailable, and BlobUnavailable for a bucket that cannot be listed."""
    count, link_only, old_s = await rows.count(), await rows.count_link_only(), time.time() - young_s
    compared = _Comparison(rows, blobs, old_s)
    async with aclosing(blobs.listed()) as listed:
        blob = await anext(listed, None)
        async for record in rows.every():
            while blob is not None and blob.name < record.digest:
                await compared.pass_by(blob)
                blob = await anext(listed, None)
            await compared.find(record, blob)
        while blob is not None:
            await compared.pass_by(blob)
            blob = await anext(listed, None)
    named_only = (tuple(compared.lost), tuple(compared.stray))
    return PictureAudit(
        count, compared.files, compared.rows_without_bytes, compared.bytes_without_rows, link_only, *named_only
    )


@dataclass(slots=True)
class _Comparison:
    """Comparison of rows and files under way; both come by the name of the file."""

    rows: PictureRows
    blobs: Blobs
    old_s: float
    files: int = 0
    rows_without_bytes: int = 0
    bytes_without_rows: int = 0
    lost: list[tuple[str, int]] = field(default_factory=list)
    stray: list[tuple[str, int]] = field(default_factory=list)
    _last: str = ""
    """File of the last row."""

    async def find(self, record: PictureRecord, blob: StoredBlob | None) -> None:
        """Compare a row with the file of its name, or with the next one where there is none."""
        self._last = record.digest
        is_there = blob is not None and (blob.name, blob.size_bytes) == (record.digest, record.bytes)
        if is_there or await self._size_now(record.digest) == record.bytes or await self.rows.find(record.id) is None:
            return
        self.rows_without_bytes += 1
        if len(self.lost) < NAMED_MAX:
            self.lost.append((record.id, record.bytes))

    async def pass_by(self, blob: StoredBlob) -> None:
        """Count a file whose rows, if there are any, have been read."""
        self.files += 1
        if blob.name == self._last or blob.written_s >= self.old_s or await self.rows.has_digest(blob.name):
            return
        self.bytes_without_rows += 1
        if len(self.stray) < NAMED_MAX:
            self.stray.append((blob.name, blob.size_bytes))

    async def _size_now(self, digest: str) -> int | None:
        """Return the bytes of a file that the list lacks or has with another length: it may be new, or wait for its upload."""
        spool = await self.blobs.open(digest)
        if spool is None:
            return None
        spool.close()
        return spool.size_bytes
