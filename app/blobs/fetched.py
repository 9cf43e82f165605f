"""Files of pictures that links of the relay led to. They stay until the pictures are recorded, because a link ends within minutes
and a bucket may be away for longer."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.errors import StorageFull
from app.spool import Spool, open_file

NO_ROOM = "The gateway has no room for a picture of an answer."


@dataclass(frozen=True, slots=True)
class FetchedFiles:
    """Fetched pictures in a directory below that of the stored answers, by the ids of the pictures."""

    answers: Path

    @property
    def directory(self) -> Path:
        return self.answers / "fetched"

    def open(self, picture_id: str) -> Spool | None:
        """Open what was fetched before; None where nothing was."""
        try:
            return open_file(self.directory / picture_id)
        except FileNotFoundError:
            return None

    def create(self, picture_id: str) -> tuple[Spool, Path]:
        """Create an empty file to fetch into; `finish` takes both. Raises StorageFull."""
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise StorageFull(NO_ROOM) from exc
        path = self.directory / f"{picture_id}.{secrets.token_hex(4)}"
        return Spool(self.directory, path=path, memory_bytes_max=0), path

    def finish(self, picture_id: str, path: Path) -> None:
        """Give a complete file its name; there is none when nothing was fetched. Raises StorageFull."""
        try:
            with suppress(FileNotFoundError):
                path.rename(self.directory / picture_id)
        except OSError as exc:
            raise StorageFull(NO_ROOM) from exc

    def remove(self, picture_ids: Iterable[str]) -> None:
        """Remove the files of pictures that are recorded; absent ones are no error."""
        for picture_id in picture_ids:
            (self.directory / picture_id).unlink(missing_ok=True)

    def by_request(self) -> dict[str, list[str]]:
        """List the names of all files, also of unfinished ones, by request. Blocks."""
        found: dict[str, list[str]] = {}
        with suppress(FileNotFoundError):
            for path in self.directory.iterdir():
                found.setdefault(path.name.rpartition("_")[0], []).append(path.name)
        return found
