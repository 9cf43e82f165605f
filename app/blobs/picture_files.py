"""Files of pictures, named by the BLAKE3 of their bytes, so that equal pictures are one file: each as the relay sent it."""

import asyncio
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from blake3 import blake3

from app.blobs.folder import Blobs, BlobUnavailable
from app.core.picture_facts import PictureFacts, read_facts
from app.errors import StorageFull
from app.spool import Slice, Spool, open_file

DIGEST_PATTERN = "[0-9a-f]" * 64
"""Pattern of the names of pictures."""
UNFINISHED = "unfinished-"
"""Begin of the name of a file that is being written; a crash can leave one behind."""
UNFINISHED_S = 3600.0
FULL = "The disk takes no pictures of stored answers; the answers keep them until it does."


@dataclass(frozen=True, slots=True)
class PictureFile:
    """Picture that is stored. `digest` is its name: BLAKE3 in hex."""

    digest: str
    size_bytes: int
    facts: PictureFacts


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """Pictures in the directory and the bucket of `blobs`."""

    blobs: Blobs
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Lock that whoever adds a row of a file holds, and whoever removes the files without rows."""

    def store(self, chunks: Iterable[bytes]) -> PictureFile | None:
        """Store a picture in the directory, fsynced, and return it. Return None for bytes that are no PNG, JPEG, WebP or GIF.

        Blocks: call it in a thread. Raises StorageFull, and what `chunks` raises.
        """
        path = self.blobs.directory / f"{UNFINISHED}{secrets.token_hex(8)}"
        digest = blake3()
        spool = Spool(path.parent, path=path, memory_bytes_max=0)
        try:
            for chunk in chunks:
                digest.update(chunk)
                spool.write(chunk)
            size_bytes = spool.size_bytes
            facts = read_facts(lambda offset, length: spool.read(Slice(offset, length)))
            if facts is None:
                return None
            name = digest.hexdigest()
            if not self._is_stored(name, size_bytes):
                spool.sync()
                self.blobs.adopt(path, name)
            return PictureFile(name, size_bytes, facts)
        except OSError as exc:
            raise StorageFull(f"{FULL} ({exc.strerror})") from exc
        finally:
            spool.close()
            path.unlink(missing_ok=True)

    async def share(self, digest: str, until_ms: int) -> None:
        """Make a picture available to all replicas. Raises BlobUnavailable while the bucket fails."""
        await self.blobs.share(digest, until_ms)
        if self.blobs.problem is not None:
            raise BlobUnavailable(self.blobs.problem)

    async def open(self, digest: str) -> Spool | None:
        """Open a picture; the caller closes it. Return None when it is gone. Raises BlobUnavailable."""
        return await self.blobs.open(digest)

    def open_local(self, digest: str) -> Spool:
        """Open a picture that was stored here just now. Raises OSError."""
        return open_file(self.blobs.directory / digest)

    def tidy(self) -> int:
        """Remove what a crash left unfinished, and of a bucket's local copies the oldest; returns how many. Blocks."""
        removed = 0
        for path in self.blobs.directory.glob(f"{UNFINISHED}*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - UNFINISHED_S:
                    path.unlink()
                    removed += 1
        return removed + self.blobs.drop_copies()

    def _is_stored(self, name: str, size_bytes: int) -> bool:
        with suppress(FileNotFoundError):
            return (self.blobs.directory / name).stat().st_size == size_bytes
        return False
