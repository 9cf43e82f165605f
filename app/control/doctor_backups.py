"""Check of the backups of a gateway."""

import asyncio
import os
from pathlib import Path

from app.control.findings import Finding
from app.control.nightly import LATE_MS
from app.core.intervals import DAY_MS, HOUR_MS
from app.store.backups import BackupRows
from app.store.engine import Database

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
