"""Data URLs of a JSON body, decoded to the spool while the body is read and replaced by short markers.

So 64 MiB of images need no more memory than a body without them.
"""

import binascii
import re
import secrets
from collections.abc import Callable
from typing import Any

from blake3 import blake3

from app.core.uploads import FilePart
from app.errors import BodyTooLarge, InvalidJson, InvalidType, InvalidValue, MissingParameter
from app.spool import Slice, Spool

# The head of a data URL, up to its comma. Some encoders write `/` as `\/`, in the media type and in the base64.
_HEAD = re.compile(rb"data:[\w.+/\\;=-]{0,100};base64,", re.IGNORECASE)
# Possessive quantifiers stand behind single characters only: behind groups, Python before 3.11.5 matches them wrongly.
# Whole strings that are no data URLs, and the bytes between them: most of a body without data URLs.
_STRINGS = re.compile(rb'(?:[^"]*+"(?!data:)[^"\\]*+(?:\\.[^"\\]*+)*")*', re.IGNORECASE | re.DOTALL)
# While it is open whether a string is a data URL, stop at a quote, an escape and a comma. Later skip to the closing quote.
_UNDECIDED = re.compile(rb'["\\,]')
_DECIDED = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*', re.DOTALL)
_HEAD_BYTES_MAX = 120
CANDIDATES_MAX = 1_000
"""Most strings that are looked at one by one: those that begin with `data:`, and some at the ends of pieces."""


class DataUrlReader:
    """Reader of a JSON body: call `feed` with its bytes, `finish` for the JSON with markers, and `extract_files` for the files.

    Raises BodyTooLarge (the JSON above `rest_bytes_max`, an image above `file_bytes_max`) and InvalidValue (too many images, or
    not base64).
    """

    def __init__(self, spool: Spool, *, rest_bytes_max: int, file_bytes_max: int, files_max: int):
        self.rest = bytearray()
        self._spool = spool
        self._rest_bytes_max = rest_bytes_max
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._pieces: list[tuple[Slice, str]] = []
        # Random, so that no text of a client can be taken for a marker.
        self._marker = f"data-url-{secrets.token_hex(16)}-"
        self._state: Callable[[bytes, int], int] = self._outside
        self._string_at = 0
        self._candidates = 0
        self._undecided = False
        self._escaped = False
        self._base64 = b""
        self._offset = 0
        self._digest = blake3()
        self._padded = False

    def feed(self, data: bytes) -> None:
        """Process the next bytes of the body, cut anywhere."""
        at = 0
        while at < len(data):
            at = self._state(data, at)
        if len(self.rest) > self._rest_bytes_max:
            message = f"Without its pictures the body has more than {self._rest_bytes_max:,} bytes; send a smaller one."
            raise BodyTooLarge(message)

    def finish(self) -> bytes:
        """Return the JSON with a marker in place of each data URL. Raises InvalidJson inside a data URL."""
        if self._state == self._inside_data:
            raise InvalidJson("The body is not valid JSON: it ends inside a data URL.")
        return bytes(self.rest)

    # --- the three states: each processes bytes from `at` on and returns the offset of the next one ---

    def _outside(self, data: bytes, at: int) -> int:
        run = _STRINGS.match(data, at)
        quote = data.find(b'"', at if run is None else run.end())
        end = len(data) if quote < 0 else quote + 1
        self.rest += data[at:end]
        if quote >= 0:
            self._state, self._string_at, self._undecided = self._inside_string, len(self.rest), True
            self._candidates += 1
            if self._candidates > CANDIDATES_MAX:
                raise InvalidValue(
                    f"The body has more than {CANDIDATES_MAX:,} strings that begin with 'data:'; send fewer.",
                    param=None,
                )
        return end

    def _inside_string(self, data: bytes, at: int) -> int:
        if self._escaped:
            self._escaped = False
            self.rest += data[at : at + 1]
            return at + 1
        if (
            len(self.rest) - self._string_at > _HEAD_BYTES_MAX
        ):  # Also of escapes only, of which each is a step of its own.
            self._undecided = False
        place = self._next_place(data, at)
        end = min(place + 1, len(data))
        self.rest += data[at:end]
        mark = data[place:end]
        if mark == b'"':
            self._state = self._outside
        elif mark == b"\\":
            self._escaped = True
        elif mark == b",":
            self._decide()
        return end

    def _next_place(self, data: bytes, at: int) -> int:
        """Return the position of the next quote, backslash or comma to handle in a string, or the end of `data`."""
        if not self._undecided:
            decided = _DECIDED.match(data, at)
            return at if decided is None else decided.end()
        stop = _UNDECIDED.search(data, at)
        return len(data) if stop is None else stop.start()

    def _decide(self) -> None:
        self._undecided = False
        if _HEAD.fullmatch(self.rest, self._string_at) is None:
            return
        if len(self._pieces) == self._files_max:
            raise InvalidValue(f"The body has more than {self._files_max} data URLs; send fewer.", param="images")
        self.rest[self._string_at :] = f"{self._marker}{len(self._pieces)}".encode()
        self._state, self._base64, self._padded = self._inside_data, b"", False
        self._offset, self._digest = self._spool.size_bytes, blake3()

    def _inside_data(self, data: bytes, at: int) -> int:
        quote = data.find(b'"', at)
        end = len(data) if quote < 0 else quote
        text = self._base64 + data[at:end]
        # Keep a backslash at the end until its slash arrives.
        whole = len(text) - text.endswith(b"\\")
        plain = text[:whole].replace(b"\\/", b"/")
        usable = len(plain) // 4 * 4
        self._decode(plain[:usable])
        self._base64 = plain[usable:] + text[whole:]
        if quote < 0:
            return end
        if self._base64:
            self._decode(self._base64 + b"=" * (-len(self._base64) % 4))
        self._pieces.append((Slice(self._offset, self._spool.size_bytes - self._offset), self._digest.hexdigest()))
        self.rest += b'"'
        self._state = self._outside
        return end + 1

    def _decode(self, text: bytes) -> None:
        if not text:
            return
        try:
            if self._padded:
                raise binascii.Error("data after the padding")
            piece = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error as exc:
            message = f"Data URL {len(self._pieces) + 1} is not plain base64 ({exc}); send it without line breaks."
            raise InvalidValue(message, param="images") from exc
        self._padded = text.endswith(b"=")
        if self._spool.size_bytes - self._offset + len(piece) > self._file_bytes_max:
            message = (
                f"Picture {len(self._pieces) + 1} is larger than {self._file_bytes_max:,} bytes; send a smaller one."
            )
            raise BodyTooLarge(message, param="images")
        self._spool.write(piece)
        self._digest.update(piece)

    # --- markers back to files ---

    def extract_files(self, fields: dict[str, Any]) -> tuple[dict[str, Any], list[FilePart]]:
        """Return the fields without `images` and `mask`, and the files of those two, in that order.

        Raises MissingParameter, InvalidType and InvalidValue, which covers remote URLs, file ids and data URLs in other fields.
        """
        others = {name: value for name, value in fields.items() if name not in ("images", "mask")}
        for name, value in others.items():
            if self._marker in repr(value) or self._marker in name:
                message = f"A data URL came in {name[:64]!r}; only 'images' and 'mask' may hold one."
                raise InvalidValue(message, param=name[:64])
        images = fields.get("images")
        if images is None or images == []:
            raise MissingParameter("'images' is missing; send a list of objects with an 'image_url'.", param="images")
        if not isinstance(images, list):
            raise InvalidType("'images' must be a list of objects with an 'image_url'.", param="images")
        files = [self._file("image", f"images[{index}]", image) for index, image in enumerate(images)]
        if fields.get("mask") is not None:
            files.append(self._file("mask", "mask", fields["mask"]))
        return others, files

    def _file(self, name: str, param: str, reference: Any) -> FilePart:
        if not isinstance(reference, dict):
            raise InvalidType(f"{param!r} must be an object with an 'image_url'.", param=param)
        if reference.get("file_id") is not None:
            message = "File ids are not supported here; send the picture as a data URL."
            raise InvalidValue(message, param=f"{param}.file_id")
        param = f"{param}.image_url"
        url = reference.get("image_url")
        if url is None:
            raise MissingParameter(f"{param!r} is missing; send a data URL.", param=param)
        if not isinstance(url, str):
            raise InvalidType(f"{param!r} must be a string that holds a data URL.", param=param)
        if set(reference) - {"image_url", "file_id"}:
            raise InvalidValue(f"{param.removesuffix('.image_url')!r} may hold nothing but 'image_url'.", param=param)
        if not url.startswith(self._marker):
            message = f"{param!r} must be a data URL (data:image/png;base64,...); addresses are not fetched from here."
            raise InvalidValue(message, param=param)
        piece, digest = self._pieces[int(url.removeprefix(self._marker))]
        return FilePart(name, piece, digest)
