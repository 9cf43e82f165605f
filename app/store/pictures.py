"""Rows of kept pictures, and the stored answers whose pictures are still to be kept."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.word_bits import SEARCHED_CHARS, word_bits
from app.store.backups import BackupRows
from app.store.due_pictures import DuePictures
from app.store.engine import Database, insert
from app.store.ledger.columns import LINK_ONLY, Cut
from app.store.requests import StoredRequest, select_stored, stored
from app.store.results import PRUNE_MAX, newest_above
from app.store.tables import is_untaken, pictures, requests, results, users
from app.store.tables.pictures import WORD_COLUMNS

_DISK_BYTES = pictures.c.bytes + sa.func.coalesce(pictures.c.thumbnail_bytes, 0)
Visibility = Literal["private", "project"]


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """Row of a kept picture. `digest` names its blob, times are Unix ms, and width and height are None where its header cannot be
    read. Each field is a column of the table."""

    id: str
    request_id: str
    index: int
    user_id: str
    project_id: str
    model: str
    digest: str
    media_type: str
    width_px: int | None
    height_px: int | None
    bytes: int
    c2pa: bool
    visibility: Visibility
    created_at_ms: int
    kept_until_ms: int
    thumbnail_bytes: int | None = None
    """Size of its thumbnail; None while none is made, 0 when none can be made."""

    @classmethod
    def of(cls, row: sa.RowMapping) -> "PictureRecord":
        """Make it from a row that has its columns among others."""
        return cls(**{**{name: row[name] for name in cls.__slots__}, "c2pa": bool(row["c2pa"])})


@dataclass(frozen=True, slots=True)
class UntakenAnswer:
    """Stored answer whose pictures are still to be kept, with its request and the owner of that."""

    request: StoredRequest
    user_id: str
    project_id: str
    created_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class TakenAnswer:
    """Stored answer whose pictures are kept. `body` is what is left of it after the cuts; None when it stays as it is."""

    request_id: str
    pictures: tuple[PictureRecord, ...]
    cuts: tuple[Cut, ...]
    body: bytes | None


_ERASED = sa.select(users.c.id).where(users.c.erased_at_ms.is_not(None))
_RECORD = tuple(pictures.c[name] for name in PictureRecord.__slots__)


def _requests_of(picture_ids: Sequence[str]) -> sa.Select[tuple[str]]:
    return sa.select(pictures.c.request_id).where(pictures.c.id.in_(picture_ids))


async def _words_of(connection: AsyncConnection, request_id: str) -> dict[str, int]:
    """Make the columns of the words of a request's prompt; no bit where the prompt is not kept, because no word is found then."""
    found = await connection.execute(sa.select(requests.c.prompt).where(requests.c.id == request_id))
    return dict(zip(WORD_COLUMNS, word_bits((found.scalar_one_or_none() or "")[:SEARCHED_CHARS]), strict=True))


async def _update_untaken(connection: AsyncConnection, request_id: str, **values: Any) -> bool:
    """Change the row of a stored answer whose pictures are still in it. Return False when there is none."""
    untaken = sa.update(results).where(results.c.request_id == request_id, is_untaken)
    return (await connection.execute(untaken.values(**values))).rowcount == 1


@dataclass(frozen=True, slots=True)
class PictureRows:
    """Table of kept pictures. Raises StoreUnavailable."""

    database: Database

    async def untaken(self, newest_ms: int, limit: int, *, after: tuple[int, str] = (0, "")) -> list[UntakenAnswer]:
        """List stored answers made at `newest_ms` or before whose pictures are not kept yet, oldest first, after (time, id)."""
        made, id = results.c.created_at_ms, results.c.request_id
        return await self._answers(limit, is_untaken, made <= newest_ms, sa.tuple_(made, id) > sa.tuple_(*after))

    async def untaken_of(self, request_ids: Sequence[str]) -> list[UntakenAnswer]:
        """List the stored answers of these requests whose pictures are not kept yet, oldest first."""
        return await self._answers(len(request_ids), is_untaken, results.c.request_id.in_(request_ids))

    async def taken_of(self, request_ids: Sequence[str]) -> list[UntakenAnswer]:
        """List the stored answers of these requests whose pictures are kept, oldest first."""
        return await self._answers(len(request_ids), sa.not_(is_untaken), results.c.request_id.in_(request_ids))

    async def _answers(self, limit: int, *where: sa.ColumnElement[bool]) -> list[UntakenAnswer]:
        made, id = results.c.created_at_ms, results.c.request_id
        wanted = (
            sa.select(id, made, results.c.expires_at_ms, requests.c.user_id, requests.c.project_id)
            .join(requests, requests.c.id == id)
            .where(requests.c.user_id.not_in(_ERASED), *where)
            .order_by(made, id)
            .limit(limit)
        )
        async with self.database.read() as connection:
            rows = {row.request_id: row for row in await connection.execute(wanted)}
            found = await stored(connection, select_stored().where(requests.c.id.in_(rows)))
        by_id = {request.id: request for request in found}
        return [
            UntakenAnswer(by_id[id], row.user_id, row.project_id, row.created_at_ms, row.expires_at_ms)
            for id, row in rows.items()
        ]

    async def record(self, answers: Sequence[TakenAnswer]) -> list[str]:
        """Record pictures whose files are stored, in one transaction; returns their requests. An answer that is not stored now,
        or that another process has finished, is left out. Its row keeps the answer whole until `finish`."""
        recorded = []
        async with self.database.transaction() as connection:
            for answer in answers:
                if not await _update_untaken(connection, answer.request_id, created_at_ms=results.c.created_at_ms):
                    continue
                recorded.append(answer.request_id)
                if answer.pictures:
                    words = await _words_of(connection, answer.request_id)
                    rows = [asdict(picture) | {"c2pa": int(picture.c2pa)} | words for picture in answer.pictures]
                    await connection.execute(insert(connection, pictures).on_conflict_do_nothing(), rows)
        return recorded

    async def finish(self, answers: Sequence[TakenAnswer]) -> list[str]:
        """Keep of these answers only what is left without their pictures, whose rows and files are there for certain; returns the
        requests. Left out are the same as in `record`, and those of which a picture was deleted meanwhile. A picture that another
        try has recorded is kept, though its link led to nothing here."""
        finished = []
        async with self.database.transaction() as connection:
            for answer in answers:
                # Locked before it is looked at which pictures are recorded: another replica may be recording them.
                if not await _update_untaken(connection, answer.request_id, created_at_ms=results.c.created_at_ms):
                    continue
                finished.append(answer.request_id)
                recorded = sa.select(pictures.c.index).where(pictures.c.request_id == answer.request_id)
                kept = set((await connection.execute(recorded)).scalars())
                cuts = [Cut(0, 0, c.picture) if c.length == LINK_ONLY and c.picture in kept else c for c in answer.cuts]
                body = {} if answer.body is None else {"body": answer.body, "body_bytes": len(answer.body)}
                await _update_untaken(connection, answer.request_id, cuts=cuts, **body)
                if link_only := sum(cut.length == LINK_ONLY for cut in cuts):
                    book = sa.update(requests).where(requests.c.id == answer.request_id).values(link_only=link_only)
                    await connection.execute(book)
        return finished

    async def of_request(self, request_id: str) -> list[PictureRecord]:
        """List the kept pictures of a request by their index."""
        return await self._records(pictures.c.request_id == request_id)

    async def find(self, picture_id: str) -> PictureRecord | None:
        found = await self._records(pictures.c.id == picture_id)
        return found[0] if found else None

    async def count(self) -> int:
        return int((await self.database.column(sa.select(sa.func.count()).select_from(pictures)))[0])

    async def count_link_only(self) -> int:
        """Count the pictures of all requests that are not kept, because the relay's link was all there was. Reads all requests."""
        total = sa.select(sa.func.coalesce(sa.func.sum(requests.c.link_only), 0))
        return int((await self.database.column(total))[0])

    async def total_bytes(self) -> int:
        """Sum the bytes of all pictures and their thumbnails; those of equal pictures count each."""
        return int((await self.database.column(sa.select(sa.func.sum(_DISK_BYTES))))[0] or 0)

    async def every(self) -> AsyncIterator[PictureRecord]:
        """Yield all pictures by the names of their files, in steps of PRUNE_MAX."""
        order, after = (pictures.c.digest, pictures.c.id), ("", "")
        while step := await self._records(sa.tuple_(*order) > sa.tuple_(*after), order=order, limit=PRUNE_MAX):
            for record in step:
                yield record
            after = (step[-1].digest, step[-1].id)

    async def has_digest(self, digest: str) -> bool:
        """Return whether a picture has this file."""
        return bool(await self._records(pictures.c.digest == digest, limit=1))

    async def expired(self, now_ms: int) -> list[str]:
        """List up to PRUNE_MAX pictures that are kept no longer, oldest first."""
        return await self._ids(pictures.c.kept_until_ms, pictures.c.kept_until_ms <= now_ms)

    async def newest_above(self, bytes_max: int, younger_than_ms: int, now_ms: int) -> int | None:
        """Find the creation time (ms) up to which pictures must go for the rest to take `bytes_max` bytes at most; those made since
        `younger_than_ms` stay, and those kept no longer do not count. None when nothing has to go."""
        order, kept = (pictures.c.created_at_ms, pictures.c.id), pictures.c.kept_until_ms > now_ms
        return await newest_above(self.database, order, _DISK_BYTES, bytes_max, younger_than_ms, kept)

    async def made_by(self, newest_ms: int) -> list[str]:
        """List up to PRUNE_MAX pictures made at `newest_ms` or before, oldest first."""
        return await self._ids(pictures.c.created_at_ms, pictures.c.created_at_ms <= newest_ms)

    async def due(self, now_ms: int, newest_ms: int | None) -> DuePictures:
        """Count the pictures that are kept no longer, those made at `newest_ms` or before, and the bytes of files that would go."""
        columns, one = pictures.c, sa.literal(1)
        is_old = columns.kept_until_ms <= now_ms
        is_above = sa.false() if newest_ms is None else sa.and_(sa.not_(is_old), columns.created_at_ms <= newest_ms)
        is_due = sa.or_(is_old, is_above)
        counts = [
            sa.func.coalesce(sa.func.sum(sa.case((condition, value), else_=0)), 0)
            for condition in (is_old, is_above)
            for value in (one, columns.bytes)
        ]
        stays = sa.func.sum(sa.case((is_due, 0), else_=1))
        files = sa.select(sa.func.max(_DISK_BYTES).label("bytes")).group_by(columns.digest).having(stays == 0)
        freed = sa.select(sa.func.coalesce(sa.func.sum(files.subquery().c.bytes), 0))
        async with self.database.read() as connection:
            old, old_bytes, above, above_bytes = map(int, (await connection.execute(sa.select(*counts))).one())
            file_bytes = int((await connection.execute(freed)).scalar_one())
        return DuePictures(old, old_bytes, above, above_bytes, file_bytes)

    async def unnamed(self, digests: Sequence[str]) -> list[str]:
        """List those of these digests that no picture has. None is listed while a backup copies the files of pictures: it may name
        each of them."""
        if not digests or await BackupRows(self.database).is_running():
            return []
        named = sa.select(pictures.c.digest).where(pictures.c.digest.in_(digests)).distinct()
        return sorted(set(digests) - set(await self.database.column(named)))

    async def only_files(self, picture_ids: Sequence[str]) -> dict[str, int]:
        """Return the digests that no other pictures than these have, with the bytes of their files, thumbnails included."""
        named = pictures.c.id.in_(picture_ids)
        wanted = sa.select(pictures.c.digest).where(named).distinct()
        shared = sa.select(pictures.c.digest).where(pictures.c.digest.in_(wanted), sa.not_(named))
        size = sa.func.max(_DISK_BYTES).label("bytes")
        only = sa.select(pictures.c.digest, size).where(named, pictures.c.digest.not_in(shared))
        async with self.database.read() as connection:
            return {row.digest: row.bytes for row in await connection.execute(only.group_by(pictures.c.digest))}

    async def note_thumbnails(self, sizes: Mapping[str, int]) -> list[str]:
        """Note the bytes of thumbnails by the digests of their pictures; returns the digests that no picture has any more."""
        size = pictures.c.thumbnail_bytes
        async with self.database.transaction() as connection:
            for digest, size_bytes in sizes.items():
                another = sa.or_(size.is_(None), size != size_bytes)
                statement = sa.update(pictures).where(pictures.c.digest == digest, another)
                await connection.execute(statement.values(thumbnail_bytes=size_bytes))
            there = sa.select(pictures.c.digest).where(pictures.c.digest.in_(sizes)).distinct()
            found = set((await connection.execute(there)).scalars())
        return [digest for digest in sizes if digest not in found]

    async def thumbnail_bytes(self, digest: str) -> int | None:
        """Return the bytes of the thumbnail that pictures with these bytes have; None while none is made."""
        wanted = sa.select(sa.func.max(pictures.c.thumbnail_bytes)).where(pictures.c.digest == digest)
        found: int | None = (await self.database.column(wanted))[0]
        return found

    async def answers_in_files(self, picture_ids: Sequence[str]) -> list[str]:
        """List the requests of these pictures whose stored answer is a file, because it could not be shortened."""
        wanted = sa.select(results.c.request_id).where(
            results.c.body.is_(None), results.c.request_id.in_(_requests_of(picture_ids))
        )
        return await self.database.column(wanted)

    async def forget(self, picture_ids: Sequence[str]) -> None:
        """Delete the rows of these pictures, and what their stored answers hold: without a picture, an answer is not replayed."""
        own, nothing = results.c.request_id.in_(_requests_of(picture_ids)), {"body": b"", "body_bytes": 0}
        async with self.database.transaction() as connection:
            await connection.execute(sa.update(results).where(own, sa.not_(is_untaken)).values(**nothing))
            untaken = await connection.execute(sa.select(results.c.request_id).where(own, is_untaken))
            for request_id in untaken.scalars().all():  # It must not bring its picture back.
                gone = [Cut(0, 0, int(id.rpartition("_")[2])) for id in picture_ids if id.startswith(f"{request_id}_")]
                await _update_untaken(connection, request_id, cuts=gone, **nothing)
            await connection.execute(sa.delete(pictures).where(pictures.c.id.in_(picture_ids)))

    async def _ids(self, order: sa.Column[int], where: sa.ColumnElement[bool]) -> list[str]:
        wanted = sa.select(pictures.c.id).where(where).order_by(order).limit(PRUNE_MAX)
        return await self.database.column(wanted)

    async def _records(
        self,
        *where: sa.ColumnElement[bool],
        order: Sequence[sa.Column[Any]] = (pictures.c.index,),
        limit: int | None = None,
    ) -> list[PictureRecord]:
        async with self.database.read() as connection:
            rows = await connection.execute(sa.select(*_RECORD).where(*where).order_by(*order).limit(limit))
            return [PictureRecord.of(row) for row in rows.mappings()]
