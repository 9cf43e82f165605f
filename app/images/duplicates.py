"""Duplicates: a request for pictures that its user bought in the same project before, and the answer made of these pictures."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app.blobs.rebuilt import CutPicture, RebuiltSpool, base64_bytes
from app.core.fingerprint import duplicate_digest
from app.core.grants import Grant
from app.core.intervals import hour_start_ms
from app.core.request import ImageRequest
from app.errors import GatewayError, NotFound
from app.images.answers import KeptAnswers, read_stored
from app.images.booking import BookedAnswer
from app.spool import Slice, Spool
from app.store.clock import Clock
from app.store.duplicates import EarlierPurchase, PurchaseRows
from app.store.pictures import PictureRecord


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Recognition of duplicates. Where `is_on` is False, no pictures are kept or nothing of prompts, and nothing is a duplicate."""

    rows: PurchaseRows
    kept_answers: KeptAnswers
    clock: Clock
    digest_key: Callable[[], bytes]
    """Returns the key of the digests of prompts."""
    is_on: bool

    def digest(self, grant: Grant, request: ImageRequest) -> bytes | None:
        """Compute the digest of a request whose alias is resolved; None where duplicates are not recognized."""
        return duplicate_digest(self.digest_key(), grant.user_id, grant.project_id, request) if self.is_on else None

    async def find(self, grant: Grant, request: ImageRequest, *, whole: bool = False) -> EarlierPurchase | None:
        """Find the newest purchase that `request` would repeat; with `whole` one of which all pictures are kept. The alias of
        `request` is resolved. Raises StoreUnavailable."""
        digest = self.digest(grant, request)
        return None if digest is None else await self.rows.newest(digest, self.clock.now_ms(), whole=whole)

    async def answer(self, earlier: EarlierPurchase, request: ImageRequest) -> BookedAnswer | None:
        """Make the answer to `request` of the pictures of an earlier purchase; it costs nothing. Return None when one of its `n`
        pictures is gone. Raises StoreUnavailable.

        Where no form was asked for, it is that of the stored answer or, when that is gone, links: what models that leave the form
        open send by default.
        """
        form, stored = request.answer_format, None
        if form is None and not request.stream:
            stored = await self.kept_answers.load(earlier.request_id, self.clock.now_ms())
            form = None if stored is not None else "url"
        spool = stored or await self._pictures(earlier)
        spool = spool or await self.kept_answers.load(earlier.request_id, self.clock.now_ms())
        if spool is None:
            return None
        answer = await asyncio.to_thread(read_stored, spool, request, earlier.reserved_at_ms // 1000)
        if answer is None or len(answer.images.items) < request.n:
            spool.close()
            return None
        return answer.booked(0, None, form)

    async def note_served(self, earlier: EarlierPurchase, api_key_id: str) -> None:
        """Count an answer that was served instead of being bought. Never raises: no money depends on it."""
        with suppress(GatewayError):
            await self.rows.note_served(earlier.request_id, api_key_id, hour_start_ms(self.clock.now_ms()))

    async def _pictures(self, earlier: EarlierPurchase) -> Spool | None:
        """Open the kept pictures of a purchase, as many as it asked for, as a relay's answer. Return None when one is gone."""
        now_ms, files = self.clock.now_ms(), list[Spool]()
        kept = await self.kept_answers.picture_rows.of_request(earlier.request_id)
        kept = [picture for picture in kept if picture.kept_until_ms > now_ms][: earlier.n]
        if [picture.index for picture in kept] != list(range(earlier.n)):
            return None
        try:
            for picture in kept:
                files.append(await self.kept_answers.picture_files.open_kept(picture.id, picture.digest))
            spool = _answer_of(self.kept_answers, earlier, kept, files)
            files = []
            return spool
        except NotFound:
            return None
        finally:
            for file in files:
                file.close()


def _answer_of(
    kept_answers: KeptAnswers, earlier: EarlierPurchase, pictures: Sequence[PictureRecord], files: Sequence[Spool]
) -> Spool:
    """Write pictures as the JSON that a relay sends, without a copy of their base64."""
    rest, cuts, cut_bytes = bytearray(b'{"data":['), list[CutPicture](), 0
    for picture, file in zip(pictures, files, strict=True):
        rest += b',{"b64_json":"' if cuts else b'{"b64_json":"'
        place = Slice(len(rest) + cut_bytes, base64_bytes(picture.bytes))
        cuts.append(CutPicture(place, file))
        cut_bytes += place.length
        rest += b'"}'
    format = pictures[0].media_type.removeprefix("image/")
    known = {"size": earlier.size, "quality": earlier.quality, "output_format": format}
    facts: dict[str, Any] = {"created": earlier.reserved_at_ms // 1000}
    facts |= {name: value for name, value in known.items() if value is not None}
    return RebuiltSpool(kept_answers.directory, bytes(rest) + b"]," + json.dumps(facts).encode()[1:], cuts)
