"""Forms of the pictures in an answer: base64 or links, as its client asked, whatever the relay sent."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from app.blobs.rebuilt import CutPicture, ExtendedSpool, base64_bytes
from app.core.images import HEAD_BYTES
from app.core.picture_facts import media_type_of
from app.core.request import ResponseFormat
from app.errors import GatewayError
from app.images.answers import KeptAnswers
from app.images.booking import BookedAnswer
from app.images.links import PictureLinks
from app.images.taking import PictureTaking
from app.spool import Segments, Slice, Spool
from app.upstream.answer import images_response
from app.upstream.images import Images
from app.upstream.skeleton import LongString, compact_json

log = structlog.get_logger()
_OUTPUT_FORMAT = re.compile(rb'"output_format":"[^"]*"')


@dataclass(frozen=True, slots=True)
class AnswerForms:
    """Conversion of answers to the form that their clients asked for. A picture that came as a link of the relay is fetched first;
    what cannot be fetched, or is not kept, stays as the relay sent it."""

    kept_answers: KeptAnswers
    taking: PictureTaking
    links: PictureLinks

    async def as_asked(self, answer: BookedAnswer, request_id: str, base_url: str | None) -> BookedAnswer:
        """Convert the pictures of an answer, which has been booked. `base_url` is the address of this gateway, without a slash at
        its end; None makes no links. Never raises: a picture that was paid for is sent in one form or the other."""
        images, wanted = answer.images, answer.response_format
        if images is None or not any(_is_other(item, wanted, base_url) for item in images.items):
            return answer
        conversion = _Conversion(request_id, wanted, base_url, answer.spool.size_bytes)
        try:
            await self._prepare(conversion, images)
            items = [await self._converted(conversion, index, item) for index, item in enumerate(images.items)]
        except Exception as exc:
            log.warning("an answer is sent as the relay sent it", request_id=request_id, exc_info=_if_bug(exc))
            return answer
        images, spool = replace(images, items=items), answer.spool
        if conversion.encoded:
            spool = ExtendedSpool(self.kept_answers.directory, spool, conversion.encoded)
        segments = images_response(images, created_s=images.created or 0)
        return replace(answer, images=images, segments=segments, spool=spool)

    async def as_events(self, answer: BookedAnswer, request_id: str) -> BookedAnswer:
        """Put base64 in place of the links in the events of a booked stream. Never raises: what cannot be fetched stays a link."""
        images, segments = answer.images, answer.segments
        if images is None or all("b64_json" in item for item in images.items):
            return answer
        conversion = _Conversion(request_id, "b64_json", None, answer.spool.size_bytes)
        try:
            await self._prepare(conversion, images)
            for index, item in enumerate(images.items):
                if "b64_json" not in item and (b64 := await self._encoded(conversion, index)) is not None:
                    kind = conversion.media_types[index] if images.output_format is None else None
                    segments = _with_base64(segments, item["url"], b64, kind)
        except Exception as exc:
            log.warning("a stream is sent as the relay sent it", request_id=request_id, exc_info=_if_bug(exc))
            return answer
        if not conversion.encoded:
            return answer
        spool = ExtendedSpool(self.kept_answers.directory, answer.spool, conversion.encoded)
        return replace(answer, segments=segments, spool=spool)

    async def _prepare(self, conversion: "_Conversion", images: Images) -> None:
        """Have the links of the relay followed, then find their pictures and how long a link to them works. Base64 is made of what
        was fetched, because its client need not wait until that is kept."""
        links = [index for index, item in enumerate(images.items) if "b64_json" not in item]
        if links and self.taking.keep_ms:
            if conversion.wanted == "b64_json":
                files = await self.taking.fetch_now(conversion.request_id)
                for index in links:
                    conversion.add_fetched(index, files.open(f"{conversion.request_id}_{index}"))
            if conversion.media_types.keys() < set(links):
                await self.taking.take_now(conversion.request_id)
                for picture in await self.kept_answers.picture_rows.of_request(conversion.request_id):
                    conversion.digests[picture.index] = picture.digest
                    conversion.media_types[picture.index] = picture.media_type
        if conversion.wanted != "b64_json" and (self.taking.keep_ms or conversion.wanted == "url"):
            conversion.expires_s = await self.links.expires_s(conversion.request_id)

    async def _converted(self, conversion: "_Conversion", index: int, item: dict[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in item.items() if name not in ("url", "b64_json")}
        if conversion.wanted == "b64_json":
            b64 = item.get("b64_json") or await self._encoded(conversion, index)
            return item if b64 is None else {"b64_json": b64} | rest
        if conversion.base_url is None or conversion.expires_s is None:
            return item
        if "b64_json" not in item and index not in conversion.media_types:
            return item
        url = self.links.url(f"{conversion.request_id}_{index}", conversion.expires_s, conversion.base_url)
        if conversion.wanted == "url":
            return {"url": url} | rest
        return item | {"url": url} if "url" in item else item

    async def _encoded(self, conversion: "_Conversion", index: int) -> LongString | None:
        """Return the base64 of a fetched or kept picture, which is encoded from its file as it is sent; None if it is neither."""
        file = conversion.fetched.pop(index, None)
        if file is None and index in conversion.digests:
            file = await self.kept_answers.picture_files.open(conversion.digests[index])
        if file is None:
            return None
        place = Slice(conversion.size_bytes, base64_bytes(file.size_bytes))
        conversion.encoded.append(CutPicture(place, file))
        conversion.size_bytes += place.length
        return LongString(place.offset, place.length, b"", b"", escaped=False)


@dataclass(slots=True)
class _Conversion:
    """Conversion of one answer. `size_bytes` is the length of the answer as the relay sent it and of the base64 that was encoded so
    far, and `expires_s` (Unix s) the end of new links; None when none would work. The others are about the pictures that the relay
    sent as links, by index: `media_types` of those that were fetched or are kept, `fetched` files, and `digests` of kept ones."""

    request_id: str
    wanted: ResponseFormat | None
    base_url: str | None
    size_bytes: int
    media_types: dict[int, str] = field(default_factory=dict)
    fetched: dict[int, Spool] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    expires_s: int | None = None
    encoded: list[CutPicture] = field(default_factory=list)

    def add_fetched(self, index: int, file: Spool | None) -> None:
        """Add what a link led to, unless it led to nothing or to no picture."""
        if file is None:
            return
        media_type = media_type_of(file.read(Slice(0, HEAD_BYTES)))
        if media_type is None:
            file.close()
        else:
            self.fetched[index], self.media_types[index] = file, media_type


def _with_base64(segments: Segments, url: str, b64: LongString, media_type: str | None) -> Segments:
    """Put base64 in place of the first member `url` with this value. Its quotes are escaped in the strings of other members.
    `media_type` is that of the picture where the relay did not name it; the event names what was asked for, or PNG."""
    member = compact_json({"url": url})[1:-1]
    for number, segment in enumerate(segments):
        if isinstance(segment, bytes) and member in segment:
            before, _, after = segment.partition(member)
            if media_type is not None:
                format = media_type.removeprefix("image/").encode()
                after = _OUTPUT_FORMAT.sub(b'"output_format":"%b"' % format, after, count=1)
            return [*segments[:number], before + b'"b64_json":"', b64.piece, b'"' + after, *segments[number + 1 :]]
    return segments


def _is_other(item: dict[str, Any], wanted: ResponseFormat | None, base_url: str | None) -> bool:
    """Return whether an item may have another form than its client is to get: links are those of this gateway."""
    return "url" in item if wanted == "b64_json" else base_url is not None and ("url" in item or wanted == "url")


def _if_bug(error: Exception) -> Exception | None:
    return None if isinstance(error, GatewayError) else error
