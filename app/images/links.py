"""Signed links to pictures: made when an answer is sent, and resolved when a picture is fetched.

A picture is read from the library; before it is there, or where none are kept, from its stored answer.
"""

import asyncio
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.core.intervals import hour_end_ms, iso
from app.core.keys import keyed_digest
from app.errors import NotFound, PermissionDenied, ResultExpired
from app.images.answers import KeptAnswers, read_stored
from app.images.replay import request_of
from app.spool import Slice, Spool
from app.store.clock import Clock
from app.store.pictures import PictureRecord
from app.store.requests import StoredRequests
from app.upstream.images import image_format
from app.upstream.pictures import EncodedPicture, measure

PURPOSE = b"imagegate links to pictures"
"""Text that the key of the signatures is derived with, so that no other use of the secret can make a signature."""
_PICTURE_ID = re.compile(r"(req_[0-9a-f]{28})_([0-9]{1,2})")
_EXPIRES = re.compile(r"[0-9]{1,11}")
NEW_LINK = "POST /v1/images/pictures/{}/link with your API key makes a new one."
GONE = "Its picture is not kept any more."
TAMPERED = "The signature does not fit this address. Use the link whole and unchanged, as the answer held it."
NO_PICTURE = "There is no such picture. Use the link whole and unchanged, as the answer held it."


@dataclass(frozen=True, slots=True)
class OpenPicture:
    """Picture that is being sent; the caller closes `spool`, which holds it or, where `encoded` is set, an answer with its
    base64. `format` is png, jpeg, webp, gif or svg, read from its first bytes; None for others. `expires_at_ms` is the end of
    its link, in Unix ms; None for a picture that is opened without a link."""

    id: str
    spool: Spool
    size_bytes: int
    format: str | None
    expires_at_ms: int | None
    encoded: EncodedPicture | None = None

    def chunks(self, wanted: range) -> Iterator[bytes]:
        """Yield the bytes of the picture in `wanted`. Some chunks may be empty, as those of EncodedPicture."""
        if self.encoded is None:
            return self.spool.chunks(Slice(wanted.start, len(wanted)))
        return self.encoded.chunks(wanted)


@dataclass(frozen=True, slots=True)
class PictureLinks:
    """Links to pictures. In answers they live for `link_ms`, rounded up to the hour, but never longer than the picture is kept:
    `keep_ms` after it was bought or, where that is 0, as long as its stored answer."""

    peppers: Sequence[bytes]
    """Secrets that links are accepted with; they are made with the first."""
    kept_answers: KeptAnswers
    originals: StoredRequests
    clock: Clock
    zone: ZoneInfo
    link_ms: int
    keep_ms: int

    async def expires_s(self, request_id: str) -> int | None:
        """Return the end of links to pictures of an answer (Unix s); None when neither it nor one of them is kept.

        Raises StoreUnavailable.
        """
        now_ms = self.clock.now_ms()
        row = await self.kept_answers.rows.find(request_id)
        kept = await self.kept_answers.picture_rows.of_request(request_id)
        ends_ms = [picture.kept_until_ms for picture in kept]
        if not ends_ms and row is not None and row.expires_at_ms > now_ms:
            ends_ms = [max(row.expires_at_ms, row.created_at_ms + self.keep_ms)]
        # Kept pictures of an answer that is not stored any more are served as a duplicate.
        return min(hour_end_ms(now_ms + self.link_ms), *ends_ms) // 1000 if ends_ms else None

    async def check(self, picture_id: str, expires: str, signature: str) -> tuple[str, int, int]:
        """Check a link; returns the request, the index of the picture and the end of the link (Unix ms). Raises PermissionDenied,
        NotFound, ResultExpired, StoreUnavailable."""
        given = signature.encode(errors="replace")
        right = [_signature(pepper, picture_id, expires).encode() for pepper in self.peppers]
        if not any(hmac.compare_digest(each, given) for each in right):
            raise PermissionDenied(TAMPERED, param="signature")
        named = _PICTURE_ID.fullmatch(picture_id)
        if named is None or not _EXPIRES.fullmatch(expires):
            raise NotFound(NO_PICTURE)
        request_id, expires_at_ms = named[1], int(expires) * 1000
        if expires_at_ms <= self.clock.now_ms():
            ended = iso(expires_at_ms, self.zone)
            is_kept = await self.kept_answers.picture_rows.find(picture_id) is not None
            hint = NEW_LINK.format(picture_id) if is_kept else GONE
            raise ResultExpired(f"This link expired at {ended}. {hint}", param="expires")
        return request_id, int(named[2]), expires_at_ms

    async def open(self, picture_id: str, expires: str, signature: str) -> OpenPicture:
        """Open the picture of a link. Raises PermissionDenied, NotFound, ResultExpired, StoreUnavailable."""
        request_id, index, expires_at_ms = await self.check(picture_id, expires, signature)
        record = await self.kept_answers.picture_rows.find(picture_id)
        if record is None:
            return await self._from_answer(picture_id, request_id, index, expires_at_ms)
        return await self.open_kept(record, expires_at_ms)

    async def open_kept(self, record: PictureRecord, expires_at_ms: int | None) -> OpenPicture:
        """Open a picture of the library. Raises as `PictureFiles.open_kept` does."""
        spool = await self.kept_answers.picture_files.open_kept(record.id, record.digest)
        format = record.media_type.removeprefix("image/")
        return OpenPicture(record.id, spool, record.bytes, format, expires_at_ms)

    async def _from_answer(self, picture_id: str, request_id: str, index: int, expires_at_ms: int) -> OpenPicture:
        """Open a picture that is not in the library in its stored answer, where it may still be."""
        original = await self.originals.find(request_id)
        if original is None:
            raise NotFound(NO_PICTURE)
        row = await self.kept_answers.rows.find(request_id)
        if row is not None and any(cut.picture == index for cut in row.cuts or ()):
            if (record := await self.kept_answers.picture_rows.find(picture_id)) is not None:  # Taken just now.
                return await self.open_kept(record, expires_at_ms)
            raise NotFound(f"The picture {picture_id} was deleted, or its days have passed.")
        spool = await self.kept_answers.load(request_id, self.clock.now_ms())
        if spool is None:
            raise ResultExpired(f"The picture of {request_id} is not kept any more; it was paid for. Buy a new one.")
        answer = await asyncio.to_thread(read_stored, spool, request_of(original), original.reserved_at_ms // 1000)
        items = [] if answer is None else answer.images.items
        b64 = items[index].get("b64_json") if index < len(items) else None
        if b64 is None:
            spool.close()
            raise NotFound(NO_PICTURE)
        encoded = await asyncio.to_thread(measure, b64, spool)
        return OpenPicture(picture_id, spool, encoded.size_bytes, image_format(b64), expires_at_ms, encoded)

    def link(self, record: PictureRecord, seconds: int, base_url: str) -> tuple[str, int]:
        """Make a link for `seconds`, but never longer than the picture is kept; returns it and its end (Unix s)."""
        expires_s = min(self.clock.now_ms() // 1000 + seconds, record.kept_until_ms // 1000)
        return self.url(record.id, expires_s, base_url), expires_s

    def url(self, picture_id: str, expires_s: int, base_url: str) -> str:
        """Return the link to a picture that ends at `expires_s` (Unix s). `base_url` has no slash at its end."""
        signature = _signature(self.peppers[0], picture_id, str(expires_s))
        return f"{base_url}/v1/images/pictures/{picture_id}/content?expires={expires_s}&signature={signature}"


def _signature(pepper: bytes, picture_id: str, expires: str) -> str:
    """Sign an address: HMAC-SHA256 in hex."""
    key = keyed_digest(pepper, PURPOSE)
    return hmac.digest(key, f"{picture_id}\n{expires}".encode(errors="replace"), "sha256").hex()
