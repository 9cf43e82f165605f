"""Manifest of a backup: the file beside it that says what it holds, and that it is whole."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.errors import ConfigurationError
from app.store.book_facts import BookFacts

SUFFIX = ".json"
PICTURE_LIST = ".pictures"
"""Suffix of the file that lists the pictures of a backup, one a line: name and bytes."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """Contents of a backup. `database` is sqlite or postgresql, `made_at_ms` the time of its snapshot by the database's clock,
    `digest` the BLAKE3 of the file. Of the pictures, `missing` ones were gone when they were to be copied."""

    database: str
    made_at_ms: int
    schema: str
    secret_fingerprint: str | None
    currency: str | None
    timezone: str | None
    totals: dict[str, int]
    bytes: int
    digest: str
    picture_files: int
    picture_bytes: int
    missing: tuple[str, ...] = ()
    nightly: bool = False
    format: int = field(default=FORMAT)

    @classmethod
    def of(cls, facts: BookFacts, **given: Any) -> "Manifest":
        known = {name: getattr(facts, name) for name in BookFacts.__slots__ if name != "pictures"}
        sizes = [size for _, size in facts.pictures]
        return cls(**known, picture_files=len(sizes), picture_bytes=sum(sizes), **given)

    @classmethod
    def read(cls, file: Path) -> "Manifest":
        """Read the manifest of the backup `file`. Raises ConfigurationError."""
        path = beside(file, SUFFIX)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            manifest = cls(**(found | {"missing": tuple(found["missing"])}))
        except FileNotFoundError:
            raise ConfigurationError(f"{path} is not there: {file} is no backup, or one that did not end.") from None
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise ConfigurationError(f"{path} cannot be read ({type(exc).__name__}).") from exc
        if manifest.format != FORMAT:
            raise ConfigurationError(f"{path} is of a newer imagegate. Restore with that one.")
        return manifest

    def write(self, file: Path) -> None:
        """Write the manifest of the backup `file`, which is whole from then on. Raises OSError."""
        write_durably(beside(file, SUFFIX), json.dumps(asdict(self), indent=2) + "\n")


def beside(file: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to the backup `file`."""
    return file.with_name(file.name + suffix)


def read_pictures(file: Path) -> list[tuple[str, int]]:
    """Read the names and bytes of the pictures of the backup `file`. Raises ConfigurationError."""
    path = beside(file, PICTURE_LIST)
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return [(name, int(size)) for name, size in lines]
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{path} cannot be read ({type(exc).__name__}).") from exc


def write_durably(path: Path, text: str) -> None:
    """Write a private file that is there whole or not at all, also after a power cut. Raises OSError."""
    draft = beside(path, ".partial")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    rename_durably(draft, path)


def rename_durably(source: Path, target: Path) -> None:
    """Rename a file that is on the disk, so that its new name survives a power cut. Raises OSError."""
    source.rename(target)
    fd = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
