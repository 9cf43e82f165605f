"""Checks of the files of a gateway: room on the disk, who else may read them, and its backups."""

import asyncio
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from app.control.findings import Finding, Status
from app.control.nightly import LATE_MS
from app.core.intervals import DAY_MS, HOUR_MS
from app.store.backups import BackupRows
from app.store.engine import Database

FREE_BYTES_LOW = 1024 * 1024 * 1024
KEYS_HEAD = b"name,mail,project,key_id,key"
"""First line of the file of new keys that `imagegate users import` writes."""
_TABLES_MAX = 200


def check_disk(folder: Path, free_bytes_min: int) -> Finding:
    """Check that the data directory, or the one it will be made in, can be written to and has room."""
    folder = _made(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"imagegate")
            file.flush()
    except OSError as exc:
        message = f"{folder} cannot be written to: {exc.strerror}. Run as the user it belongs to, or make room."
        return Finding("disk", "failed", message)
    free_bytes = shutil.disk_usage(folder).free
    status: Status = "ok"
    if free_bytes < FREE_BYTES_LOW:
        status = "failed" if free_bytes < free_bytes_min else "warning"
    room = "" if status == "ok" else " Make room: answers and the book are written here."
    return Finding("disk", status, f"{folder} can be written to, {free_bytes / 1024**3:.1f} GiB free.{room}")


def _made(folder: Path) -> Path:
    """Return a directory or, before the first start, the one that it will be made in."""
    while not folder.exists():
        folder = folder.parent
    return folder


def check_picture_room(folder: Path, bytes_max: int, used_bytes: int) -> Finding:
    """Check that the disk has room for as many bytes of pictures as may be kept; `used_bytes` of them are there."""
    room_bytes = shutil.disk_usage(_made(folder)).free + used_bytes
    most, used, room = (f"{size / 1024**3:.1f} GiB" for size in (bytes_max, used_bytes, room_bytes))
    if bytes_max > room_bytes:
        message = (
            f"IMAGEGATE_PICTURES_BYTES_MAX lets pictures take {most}, but the disk of {folder} has {room} for them: set it lower, "
            "or a full disk stops purchases."
        )
        return Finding("pictures", "warning", message)
    return Finding("pictures", "ok", f"They take {used} of at most {most}, and the disk has room for them.")


def check_modes(data_dir: Path, here: Path) -> Finding:
    """Check that only the owner can read the data directory, and `.env` and files of new keys in `here`."""
    found = {path: _others_may(path) for path in (*_private_files(data_dir), *_secrets_in(here))}
    if opened := [path for path, is_open in found.items() if is_open]:
        closed = " && ".join(f"chmod {700 if path.is_dir() else 600} {shlex.quote(str(path))}" for path in opened)
        names = ", ".join(map(str, opened))
        return Finding(
            "file modes", "warning", f"Others on this machine can read {names}. Run as their owner: {closed}"
        )
    return Finding("file modes", "ok", "Nobody else on this machine can read the data and the settings.")


def _private_files(data_dir: Path) -> Iterator[Path]:
    """Yield the data directory and, where others may enter it, the book and the directories in it.

    The secret key has a check of its own.
    """
    yield data_dir
    if _others_may(data_dir):
        yield from sorted(data_dir.glob("*.db*"))
        yield from sorted(path for path in data_dir.glob("*") if path.is_dir())


def _secrets_in(folder: Path) -> Iterator[Path]:
    yield folder / ".env"
    for path in islice(folder.glob("*.csv"), _TABLES_MAX):
        try:
            with path.open("rb") as file:
                if file.read(len(KEYS_HEAD)) == KEYS_HEAD:
                    yield path
        except OSError:
            continue


def _others_may(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


_CHECK = "backups"
_OLD_MS = 8 * DAY_MS
"""Age from which on the last backup that somebody made by hand is too old."""


async def check_backups(database: Database, folder: Path | None) -> Finding:
    """Check when the last backup was made. `folder` is that of the nightly ones, None where there are none."""
    now_ms, last_ms = await database.now_ms(), (await BackupRows(database).last()).at_ms
    if folder is not None and await asyncio.to_thread(_is_closed, folder):
        return Finding(_CHECK, "failed", f"{folder} cannot be written to. Run as the user it belongs to.")
    if last_ms is None and folder is not None:
        return Finding(
            _CHECK, "warning", f"None was made yet. The gateway makes the first in {folder} soon after its start."
        )
    if last_ms is None:
        message = "None was made yet. Set IMAGEGATE_BACKUP_DIR to a folder on another disk, and the gateway makes one each night."
        return Finding(_CHECK, "warning", message)
    hours = (now_ms - last_ms) // HOUR_MS
    if now_ms - last_ms > (_OLD_MS if folder is None else LATE_MS):
        cure = "`imagegate backup FILE` makes one now" if folder is None else "Look at the log of the gateway"
        return Finding(_CHECK, "warning", f"The last one is {hours} hours old. {cure}.")
    return Finding(_CHECK, "ok", f"The last one is {hours} hours old.")


def _is_closed(folder: Path) -> bool:
    """Return whether something is there that is no folder which this process can write to; an absent one will be made."""
    return folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK))
