"""Marks of the blobs that a bucket still lacks."""

import os
import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UploadMarks:
    """Marks of blobs that still have to be uploaded: empty files whose mtime is the expiry. They survive a restart."""

    directory: Path

    def add(self, request_id: str, until_ms: int) -> None:
        mark = self.directory / request_id
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            mark.touch(mode=0o600)
            os.utime(mark, (until_ms / 1000, until_ms / 1000))
        except OSError as exc:
            log.error("a stored answer stays on this replica", request_id=request_id, error=exc.strerror)

    def done(self, request_id: str) -> None:
        (self.directory / request_id).unlink(missing_ok=True)

    def pending(self, now_ms: int) -> list[str]:
        """List the names to upload, and remove expired marks. The order is random, so that a blob which the bucket refuses does
        not block the same others for ever."""
        found = []
        for mark in self.directory.glob("*"):
            with suppress(FileNotFoundError):
                if mark.stat().st_mtime * 1000 > now_ms:
                    found.append(mark.name)
                else:
                    mark.unlink()
        random.shuffle(found)
        return found

    def __contains__(self, request_id: str) -> bool:
        return (self.directory / request_id).exists()
