"""Reader of multipart forms: text goes to memory, files to the request's spool, while the bytes arrive.

It uses python-multipart's push parser and adds the meaning of part headers, limits on number and size, and the check of the final
boundary. File names are ignored.
"""

import codecs
from dataclasses import dataclass, field

from blake3 import blake3
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.core.uploads import FilePart, upload_field
from app.errors import BodyTooLarge, DuplicateKey, InvalidMultipart, InvalidValue, StringTooLong
from app.spool import Slice, Spool

# A file name may have 4 KB; clients send at most six headers per part.
PART_HEADER_BYTES_MAX = 8 * 1024
PART_HEADERS_MAX = 16
PART_OPTIONS_MAX = 100
BOUNDARY_BYTES_MAX = 70
"""Longest boundary (RFC 2046, section 5.1.1)."""
TEXT_BYTES_MAX = 4 * 32_000
"""Most bytes of a text field: the longest prompt, at four bytes per character."""
TEXTS_BYTES_MAX = 1024 * 1024
"""Most bytes of all text fields together."""
CODECS = ("utf-8", "ascii", "iso8859-1", "cp1252", "gb2312", "gbk", "gb18030", "big5")
"""Charsets of text parts, by Python's names. Java clients label every part, most as ISO-8859-1."""
_ENCODINGS_PLAIN = (b"", b"7bit", b"8bit", b"binary")


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    offset: int | None = None  # Offset in the spool; None for text.
    text: bytearray = field(default_factory=bytearray)
    codec: str = "utf-8"  # Of the text.
    digest: blake3 | None = None


class FormReader:
    """Reader of a form: call `feed` with the bytes of the body, then `finish`.

    Raises InvalidMultipart, InvalidValue, DuplicateKey, StringTooLong and BodyTooLarge. After `finish`, `fields` holds the text (a
    list for a repeated name) and `files` the files in their order. The caller closes the spool, also after an error.
    """

    def __init__(self, boundary: bytes, spool: Spool, *, file_bytes_max: int, files_max: int, fields_max: int):
        if not 0 < len(boundary) <= BOUNDARY_BYTES_MAX:
            message = (
                f"The Content-Type needs a boundary of 1 to {BOUNDARY_BYTES_MAX} characters; let the client set it."
            )
            raise InvalidMultipart(message)
        self.fields: dict[str, str | list[str]] = {}
        self.files: list[FilePart] = []
        self._spool = spool
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._fields_max = fields_max
        self._fields_seen = 0
        self._texts_bytes = 0
        self._ended = False
        self._part = _Part()
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=PART_HEADERS_MAX,
            max_header_size=PART_HEADER_BYTES_MAX,
        )

    def feed(self, data: bytes) -> None:
        """Process the next bytes of the body, cut anywhere."""
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise InvalidMultipart(f"The multipart body is malformed: {exc}.") from exc

    def finish(self) -> None:
        """End the body. Raises InvalidMultipart when its final boundary is missing."""
        if not self._ended:
            raise InvalidMultipart("The multipart body ends before its final boundary; send it whole.")

    # --- callbacks of the parser ---

    def _on_part_begin(self) -> None:
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        name, value = bytes(self._header_name).lower(), bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()
        if name in self._part.headers:
            raise InvalidMultipart("A part has the same header twice; send it once.")
        self._part.headers[name] = value

    def _on_headers_finished(self) -> None:
        part = self._part
        disposition, options = _options(part.headers.get(b"content-disposition", b""))
        if disposition != b"form-data" or not options.get(b"name"):
            raise InvalidMultipart("A part lacks 'Content-Disposition: form-data' with a name.")
        part.name = _decoded(options[b"name"], "The name of a part")
        if part.headers.get(b"content-transfer-encoding", b"").strip().lower() not in _ENCODINGS_PLAIN:
            message = f"The part {part.name!r} has a Content-Transfer-Encoding; send the bytes as they are."
            raise InvalidMultipart(message, param=part.name)
        if upload_field(part.name) is not None or b"filename" in options:
            self._begin_file(part)
        else:
            self._begin_text(part)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.digest is None:
            self._text(part, data[start:end])
        else:
            self._file(part, memoryview(data)[start:end])

    def _on_part_end(self) -> None:
        part = self._part
        if part.digest is None or part.offset is None:
            self._keep_text(part)
        else:
            piece = Slice(part.offset, self._spool.size_bytes - part.offset)
            self.files.append(FilePart(part.name, piece, part.digest.hexdigest()))

    def _on_end(self) -> None:
        self._ended = True

    # --- files and text ---

    def _begin_file(self, part: _Part) -> None:
        kind = upload_field(part.name)
        if kind is None:
            message = f"Unknown file field {part.name!r}; files are 'image', 'image[]', 'mask' and 'markup'."
            raise InvalidMultipart(message, param=part.name)
        same = sum(upload_field(file.name) == kind for file in self.files)
        if kind == "image" and same == self._files_max:
            message = f"More than {self._files_max} images came; send at most {self._files_max}."
            raise InvalidValue(message, param="image")
        if kind != "image" and same:
            raise DuplicateKey(f"More than one {kind!r} came; send one.", param=kind)
        part.offset, part.digest = self._spool.size_bytes, blake3()

    def _file(self, part: _Part, data: memoryview) -> None:
        length = self._spool.size_bytes - (part.offset or 0) + len(data)
        if length > self._file_bytes_max:
            message = f"The file in {part.name!r} is larger than {self._file_bytes_max:,} bytes; send a smaller one."
            raise BodyTooLarge(message, param=upload_field(part.name))
        self._spool.write(data)
        if part.digest is not None:
            part.digest.update(data)

    def _begin_text(self, part: _Part) -> None:
        self._fields_seen += 1
        if self._fields_seen > self._fields_max:
            raise InvalidMultipart(f"The form has more than {self._fields_max} text fields; send fewer.")
        _, options = _options(part.headers.get(b"content-type", b""))
        part.codec = _codec(options.get(b"charset", b"utf-8").decode("latin-1"), part.name)

    def _text(self, part: _Part, data: bytes) -> None:
        part.text += data
        self._texts_bytes += len(data)
        if len(part.text) > TEXT_BYTES_MAX:
            message = f"The field {part.name!r} has more than {TEXT_BYTES_MAX:,} bytes; shorten it."
            raise StringTooLong(message, param=part.name)
        if self._texts_bytes > TEXTS_BYTES_MAX:
            raise BodyTooLarge(f"The text fields have more than {TEXTS_BYTES_MAX:,} bytes together; shorten them.")

    def _keep_text(self, part: _Part) -> None:
        value = _decoded(part.text, f"The field {part.name!r}", param=part.name, codec=part.codec)
        known = self.fields.get(part.name)
        if known is None:
            self.fields[part.name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            self.fields[part.name] = [known, value]


def _options(value: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    # Parsing thousands of semicolons takes milliseconds in each part.
    if value.count(b";") > PART_OPTIONS_MAX:
        raise InvalidMultipart(f"A header of a part has more than {PART_OPTIONS_MAX} semicolons; send a shorter one.")
    return parse_options_header(value)


def _codec(charset: str, name: str) -> str:
    """Return Python's name of the charset of a text part. Raises InvalidMultipart for one that is not in CODECS."""
    try:
        codec = codecs.lookup(charset).name
    except (LookupError, ValueError):
        codec = ""
    if codec not in CODECS:
        message = f"The field {name!r} has the charset {charset[:32]!r}, which is not read here; send it as UTF-8."
        raise InvalidMultipart(message, param=name)
    return "utf-8" if codec == "ascii" else codec


def _decoded(data: bytes | bytearray, what: str, *, param: str | None = None, codec: str = "utf-8") -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as exc:
        raise InvalidMultipart(f"{what} is not valid {codec.upper()}; send UTF-8.", param=param) from exc
