"""Files of pictures, named by the BLAKE3 of their bytes, so that equal pictures are one file: each as the relay sent it."""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from blake3 import blake3

from app.blobs.folder import Blobs, BlobUnavailable
from app.core.picture_facts import PictureFacts, read_facts
from app.errors import NotFound, StorageFull
from app.spool import Slice, Spool, open_file

DIGEST_PATTERN = "[0-9a-f]" * 64
"""Pattern of the names of pictures."""
UNFINISHED = "unfinished-"
"""Begin of the name of a file that is being written; a crash can leave one behind."""
UNFINISHED_S = 180.0
"""Longest time in which a file is written; an older one was left by a process that died."""
FULL = "The disk takes no pictures of stored answers; the answers keep them until it does."


ASIDE_S = 180.0
"""Longest time that a removal takes; a file set aside for longer was left by a process that died."""
Unnamed = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""Query for those of some digests that no row names."""
Forget = Callable[[], Awaitable[object]]
log = structlog.get_logger()


async def _nothing() -> None:
    pass


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

    async def open_kept(self, picture_id: str, digest: str) -> Spool:
        """Open the picture of a row; the caller closes it. Raises NotFound, which is logged, when its bytes are gone, and
        BlobUnavailable."""
        spool = await self.open(digest)
        if spool is None:
            log.error("the bytes of a kept picture are gone", picture_id=picture_id)
            raise NotFound(f"The bytes of {picture_id} are gone. `imagegate audit` names what is missing.")
        return spool

    async def remove(self, digests: Sequence[str], unnamed: Unnamed, forget: Forget = _nothing) -> None:
        """Call `forget`, which ends the rows of these files, and remove the files that no row names then.

        Another process may record a row of the same bytes meanwhile. So the files are set aside first, and put back for a row that
        is there afterwards. Whoever records a row looks after that whether its file is there (`has_all`), and stores it again.
        Raises StoreUnavailable, and BlobUnavailable while the bucket fails; the same call can be repeated.
        """
        await self.blobs.set_aside(digests)
        await forget()
        await self._end_aside(digests, unnamed)

    async def end_left_aside(self, unnamed: Unnamed) -> None:
        """Put back or remove the files that a process which died has set aside. Raises as `remove` does."""
        left = await self.blobs.left_aside(time.time() - ASIDE_S)
        await self._end_aside(left, unnamed)

    def older_than(self, digests: Iterable[str], age_s: float) -> list[str]:
        """Return those of these files in the directory that were written longer ago."""
        old, before_s = [], time.time() - age_s
        for digest in digests:
            with suppress(FileNotFoundError):
                if (self.blobs.directory / digest).stat().st_mtime <= before_s:
                    old.append(digest)
        return old

    async def _end_aside(self, digests: Sequence[str], unnamed: Unnamed) -> None:
        free = set(await unnamed(digests))
        if named := [digest for digest in digests if digest not in free]:
            await self.blobs.put_back(named)
        if free:
            await self.blobs.remove_aside(sorted(free))

    def open_local(self, digest: str) -> Spool:
        """Open a picture that was stored in this process's folder just now. Raises OSError."""
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
