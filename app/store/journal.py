"""Journal of revocations: a file outside the database, from which they are applied again to a database restored from a backup.

It holds ids only, no name and no secret.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

FILE = "revocations.jsonl"
_ENDING = frozenset(
    {
        "api_key.deleted",
        "admin_api_key.deleted",
        "user.deleted",
        "user.erased",
        "service_account.deleted",
        "project.archived",
    }
)
"""Events that take something away for good."""
_CHANGING = {"api_key.updated": ("last_four",)} | dict.fromkeys(
    ("user.updated", "service_account.updated"), ("disabled", "access_role")
)
"""Events that may take something away, with the fields by which they do."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Revocation:
    """Change that took access or data away. `values` are the fields of its object that differ after it."""

    event: str
    target_id: str
    project_id: str | None
    values: dict[str, Any]
    at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


def revocation_of(
    event: str,
    target_id: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    project_id: str | None,
) -> Revocation | None:
    """Return what the journal keeps of a change in the audit log; None where it revokes nothing."""
    if event in _ENDING:
        return Revocation(event, target_id, project_id, {})
    before, after = before or {}, after or {}
    fields = [name for name in _CHANGING.get(event, ()) if name in after and before.get(name) != after[name]]
    return Revocation(event, target_id, project_id, {name: after[name] for name in fields}) if fields else None


@dataclass(frozen=True, slots=True)
class Journal:
    """Files that each revocation is appended to, on several disks where there are several."""

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, *folders: Path | None) -> "Journal":
        """Make the journal in these folders, without those that are None."""
        return cls(tuple(folder / FILE for folder in folders if folder is not None))

    async def append(self, revocations: Sequence[Revocation]) -> None:
        """Append revocations, fsynced. Never raises: a revocation takes place on a full disk, too."""
        if revocations:
            lines = "".join(json.dumps(asdict(each)) + "\n" for each in revocations)
            await asyncio.to_thread(self._append, lines.encode())

    def _append(self, lines: bytes) -> None:
        for path in self.paths:
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                try:
                    os.write(fd, lines)
                    os.fsync(fd)
                finally:
                    os.close(fd)
            except OSError as exc:
                log.error("a revocation was not noted outside the database", file=str(path), reason=exc.strerror)


def read_journals(paths: Iterable[Path], since_ms: int) -> list[Revocation]:
    """Read the revocations since then (Unix ms) of several files, in their order, each once. A file that is absent has none, and a
    line that was cut by a crash is left out. Raises OSError."""
    found: dict[str, Revocation] = {}
    for path in dict.fromkeys(paths):
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found[line] = Revocation(**json.loads(line))
            except (ValueError, TypeError):
                log.warning("a line of the journal of revocations cannot be read", file=str(path))
    return sorted((each for each in found.values() if each.at_ms >= since_ms), key=lambda each: each.at_ms)
