"""Nightly backups inside a running gateway: by one of the replicas, the oldest removed."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from app.control.backup import PICTURES, Backup
from app.control.manifest import PICTURE_LIST, SUFFIX, Manifest, beside, read_pictures
from app.core.intervals import DAY_MS, HOUR_MS
from app.errors import ConfigurationError, Conflict

LATE_MS = DAY_MS + 2 * HOUR_MS
"""Age of the last backup from which on the nightly ones count as failing."""
_PREFIX = "imagegate-"
_UNFINISHED_S = 86_400.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NightlyBackup:
    """Chore that makes a backup in `folder` once a day at `at` (HH:MM in `zone`), and keeps the newest `keep` of them."""

    backup: Backup
    folder: Path
    keep: int
    at: str
    zone: ZoneInfo

    async def turn(self) -> Path | None:
        """Make the backup if it is due and no replica has made it or makes it now; returns its file. Raises as `Backup.make`."""
        now_ms = await self.backup.database.now_ms()
        last_ms, due_ms = (await self.backup.rows.last()).at_ms, newest_due_ms(now_ms, self.at, self.zone)
        if last_ms is not None and last_ms >= due_ms:
            return None
        await asyncio.to_thread(self.folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        ending = ".db" if self.backup.database.is_sqlite else ".dump"
        stamp = datetime.fromtimestamp(now_ms / 1000, self.zone).strftime("%Y-%m-%dT%H%M%S")
        file = self.folder / f"{_PREFIX}{stamp}{ending}"
        started_s = time.monotonic()
        try:
            manifest = await self.backup.make(file, lambda *_: None, due_ms=due_ms)
        except Conflict:  # Another replica makes it, or has made it just now.
            return None
        lasted_s = round(time.monotonic() - started_s, 1)
        log.info("backup made", file=str(file), bytes=manifest.bytes, missing=len(manifest.missing), seconds=lasted_s)
        await asyncio.to_thread(self.prune)
        return file

    async def problem(self) -> str | None:
        """Return what is wrong with the last backup; None when it is recent."""
        now_ms, last_ms = await self.backup.database.now_ms(), (await self.backup.rows.last()).at_ms
        if last_ms is None:
            return "none was made yet"
        return f"the last one is {(now_ms - last_ms) // HOUR_MS} h old" if now_ms - last_ms > LATE_MS else None

    def prune(self) -> None:
        """Remove nightly backups above `keep`, what a killed one left behind, and pictures that no backup there names."""
        whole = sorted(self._nightly(), key=lambda found: found[0].made_at_ms, reverse=True)
        for _, file in whole[self.keep :]:
            for suffix in (SUFFIX, PICTURE_LIST, ""):  # Without its manifest it counts as unfinished.
                beside(file, suffix).unlink(missing_ok=True)
        before_s = time.time() - _UNFINISHED_S
        for path in sorted(self.folder.glob(f"{_PREFIX}*")):
            if not beside(_backup_of(path), SUFFIX).exists() and path.stat().st_mtime < before_s:
                path.unlink()
        self._prune_pictures(before_s)

    def _prune_pictures(self, before_s: float) -> None:
        named: set[str] = set()
        try:
            for path in self.folder.glob(f"*{PICTURE_LIST}"):
                named.update(name for name, _ in read_pictures(_backup_of(path)))
        except ConfigurationError as exc:  # It may name any of them.
            log.warning("no picture of old backups is removed", reason=str(exc))
            return
        for path in (self.folder / PICTURES).iterdir():
            if path.name not in named and path.stat().st_mtime < before_s:
                path.unlink()

    def _nightly(self) -> Iterator[tuple[Manifest, Path]]:
        for path in self.folder.glob(f"{_PREFIX}*{SUFFIX}"):
            try:
                manifest = Manifest.read(file := _backup_of(path))
            except ConfigurationError as exc:
                log.warning("a manifest of a backup cannot be read", reason=str(exc))
                continue
            if manifest.nightly:
                yield manifest, file


def newest_due_ms(now_ms: int, at: str, zone: ZoneInfo) -> int:
    """Return the latest instant (Unix ms) at which a backup was due."""
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    hour, minute = map(int, at.split(":"))
    due = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return int((due if due <= now else due - timedelta(days=1)).timestamp() * 1000)


def _backup_of(path: Path) -> Path:
    name = path.name.removesuffix(".partial")
    for suffix in (SUFFIX, PICTURE_LIST):
        name = name.removesuffix(suffix)
    return path.with_name(name)
