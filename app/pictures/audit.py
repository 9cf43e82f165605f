"""Audit of the kept pictures: rows whose bytes are missing, and bytes that no row names."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.blobs.picture_files import DIGEST_PATTERN
from app.store.pictures import PictureRows

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


async def audit_pictures(rows: PictureRows, folder: Path | None) -> PictureAudit:
    """Compare the rows of pictures with the files in `folder`; None for pictures in a bucket, which is not listed. Changes nothing.
    Raises StoreUnavailable."""
    count, link_only = await rows.count(), await rows.count_link_only()
    if folder is None:
        return PictureAudit(count, 0, 0, 0, link_only)
    files = await asyncio.to_thread(_sizes, folder, time.time() - YOUNG_S)
    lost: list[tuple[str, int]] = []
    named: set[str] = set()
    async for record in rows.every():
        named.add(record.digest)
        size_bytes, _ = files.get(record.digest) or _size(folder / record.digest)
        if size_bytes != record.bytes and await rows.find(record.id) is not None:
            lost.append((record.id, record.bytes))
    stray = [(name, size) for name, (size, is_old) in files.items() if is_old and name not in named]
    named_only = (tuple(lost[:NAMED_MAX]), tuple(stray[:NAMED_MAX]))
    return PictureAudit(count, len(files), len(lost), len(stray), link_only, *named_only)


def _sizes(folder: Path, old_s: float) -> Mapping[str, tuple[int, bool]]:
    """Return of each file its bytes, and whether it was written before `old_s`."""
    found = {}
    for path in folder.glob(DIGEST_PATTERN):
        with suppress(FileNotFoundError):
            stat = path.stat()
            found[path.name] = (stat.st_size, stat.st_mtime < old_s)
    return found


def _size(path: Path) -> tuple[int | None, bool]:
    """Return the bytes of a file that was not there when the folder was listed."""
    with suppress(FileNotFoundError):
        return path.stat().st_size, False
    return None, False
