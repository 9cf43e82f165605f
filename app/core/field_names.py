"""Names of request fields: those the gateway reads, those it drops, and those that count images under another name."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import InvalidValue

READ_FIELDS = frozenset(
    {"model", "prompt", "n", "size", "quality", "stream", "partial_images", "response_format", "user"}
)
"""Fields that the gateway reads. A relay may ignore the case of names, so other spellings of these are refused."""

# fmt: off
DESTINATIONS = frozenset({
    "apibase", "apikey", "apitype", "apiversion", "azureadtoken", "azureendpoint", "baseurl", "customllmprovider",
    "defaultheaders", "defaultquery", "endpoint", "extrabody", "extraheaders", "extraquery", "headers", "host",
    "httpclient", "organization", "proxies", "proxy",
})
"""Fields that name a destination or credentials, dropped in every spelling. Written here as `squeezed` returns them."""
COUNTS = frozenset({
    "batch", "batchcount", "batchnum", "batchsize", "candidatecount", "count", "generatenum", "imageamount",
    "imagecount", "imagen", "imagenum", "imagenumber", "imagescount", "imagesperprompt", "imgcount", "maximage",
    "maximages", "nimages", "niter", "noutputs", "nsamples", "num", "numberofimages", "numberofoutputs",
    "numberofresults", "numimage", "numimages", "numimagesperprompt", "numoutputs", "numresults", "numsamples",
    "numvariations", "outputcount", "outputs", "quantity", "repeat", "resultcount", "samplecount", "samples",
    "sequentialimagegeneration", "sequentialimagegenerationoptions", "totalimages",
})
"""Fields that relays read as a number of images, beside `n`. Written here as `squeezed` returns them."""
SIZES = frozenset({
    "aspectratio", "dimensions", "height", "imagedimensions", "imageheight", "imageresolution", "imagesize",
    "imagewidth", "maxheight", "maxpixels", "maxwidth", "megapixels", "outputheight", "outputresolution", "outputsize",
    "outputwidth", "ratio", "resolution", "resolutionpreset", "sampleimagesize", "scale", "scalefactor", "size",
    "sizepreset", "targetheight", "targetsize", "targetwidth", "upsample", "upscale", "upscalefactor", "width",
})
"""Fields that relays read as a size, beside `size`: with one of them any size may be drawn. Written as `squeezed` returns them."""
QUALITIES = frozenset({"hd", "imagequality", "modelquality", "quality", "qualitylevel", "renderingspeed", "renderquality"})
"""Fields that relays read as a quality, beside `quality`. Written here as `squeezed` returns them."""
PRICE_FIELDS = frozenset({"n", "model", "size", "quality"})
"""Fields that decide the price, refused in the objects of WRAPPERS, where a relay may look for them."""
WRAPPERS = frozenset({
    "config", "extra", "extrabody", "extrafields", "generationconfig", "input", "options", "parameters", "params",
})
# fmt: on
NAME_CHARS_MAX = 128
NAMES_MAX = 1000
"""Most names in a request, those inside of fields included."""
NAMES_BYTES_MAX = 16 * 1024
"""Most bytes of all these names, because folding one character can make 18 of it."""
JSON_TEXT_CHARS_MAX = 64 * 1024
"""Most characters of JSON that is written as text in the fields of a request."""
_PATH = re.compile(r"[\[\]./]+")
_KEY_IN_TEXT = re.compile(r"[\"']([^\"'\\{}:,]{1,128})[\"']\s*+(?:/\*[^*]*+\*/\s*+)?:|[{,]\s*+(\w{1,128}):")
"""Keys in quotes, also with a comment behind them, and keys without quotes."""
_ESCAPED_CHARACTER = re.compile(r"\\u([0-9a-fA-F]{4})")


def squeezed(name: str) -> str:
    """Return a name in one spelling: compatible characters and cases folded, without `-`, `_` and spaces."""
    return re.sub(r"[-_\s\u00ad\u200b-\u200f\u2060\ufeff]", "", folded(name))


def folded(text: str) -> str:
    """Return text with compatible characters (full-width ones, say) and cases folded, as lenient relays compare it.

    Only for short text: NFKC sorts combining marks in quadratic time, a name of 1 MiB took a minute.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def without_destinations(fields: dict[str, Any]) -> dict[str, Any]:
    """Drop nulls and DESTINATIONS.

    Raises InvalidValue for what would evade the price or a limit: a field of READ_FIELDS in another spelling, and a count or
    another field of the price under a name of COUNTS or inside another field, whether an object, JSON in text, or `field[key]` of a
    form; and for more names, or more JSON in text, than NAMES_MAX and JSON_TEXT_CHARS_MAX allow.
    """
    kept: dict[str, Any] = {}
    reader = _NameReader()
    for name, value in fields.items():
        reader.count(name)
        if value is None:
            continue
        if name not in READ_FIELDS:
            if folded(name) in READ_FIELDS:
                raise InvalidValue(f"Unknown field {name!r}; did you mean {folded(name)!r}?", param=name)
            if not (squeezed(name) == "sequentialimagegeneration" and value == "disabled"):
                _check_path(name, reader.keys(name, value))
            if squeezed(name) in DESTINATIONS:
                continue
        kept[name] = value
    return kept


def has_field(fields: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Return whether `fields` have one of `names`, at any depth, beside those that the gateway reads."""
    reader = _NameReader()
    return any(
        squeezed(part) in names
        for name, value in fields.items()
        if name not in READ_FIELDS
        for part in (*_PATH.split(name), *reader.keys(name, value))
    )


def _check_path(name: str, keys: Iterator[str]) -> None:
    outer, *inner = [squeezed(part) for part in _PATH.split(name)]
    refused = COUNTS | PRICE_FIELDS if outer in WRAPPERS else COUNTS | {"n"}
    path = [part for part in inner if part]
    if outer in COUNTS or (outer == "n" and name != "n") or any(part in refused for part in path):
        raise _evasion(name, name)
    for key in keys:
        if squeezed(key) in refused:
            raise _evasion(name, f"{name}.{key}")


class _NameReader:
    """Reader of all names in one request. It bounds their number and the JSON that it parses."""

    def __init__(self) -> None:
        self._names_left = NAMES_MAX
        self._bytes_left = NAMES_BYTES_MAX
        self._chars_left = JSON_TEXT_CHARS_MAX

    def count(self, name: str) -> None:
        """Count one name. Raises InvalidValue when it is too long or one too many."""
        self._names_left -= 1
        self._bytes_left -= len(name.encode(errors="replace"))
        if self._names_left < 0 or self._bytes_left < 0:
            message = f"The request has more than {NAMES_MAX:,} names of fields, or {NAMES_BYTES_MAX:,} bytes of names; send fewer."
            raise InvalidValue(message, param=None)
        if len(name) > NAME_CHARS_MAX:
            message = f"A field's name has {len(name):,} characters; at most {NAME_CHARS_MAX} are allowed. Shorten it."
            raise InvalidValue(message, param=ascii(name[:64])[1:-1])

    def keys(self, field: str, value: Any) -> Iterator[str]:
        """Yield the keys of all objects in the value of `field`, also of JSON written as text. Raises InvalidValue."""
        if isinstance(value, str):
            if "{" in value or "\\u" in value:
                yield from self._keys_in_text(field, value)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.count(key)
                yield key
                yield from self.keys(field, item)
        elif isinstance(value, list):
            for item in value:
                yield from self.keys(field, item)

    def _keys_in_text(self, field: str, text: str) -> Iterator[str]:
        """Yield what a parser may take for keys of JSON in `text`, however lenient it is and however often the text is quoted."""
        self._chars_left -= len(text)
        if self._chars_left < 0:
            message = (
                f"The fields hold more than {JSON_TEXT_CHARS_MAX:,} characters of JSON in text, {field[:64]!r} the last of them; "
                "send objects instead of text, or less of it."
            )
            raise InvalidValue(message, param=field[:64])
        plain = _ESCAPED_CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)
        for found in _KEY_IN_TEXT.finditer(plain.replace("\\", "")):
            key = found[1] or found[2]
            self.count(key)
            yield key


def _evasion(name: str, path: str) -> InvalidValue:
    text = (
        f"The field {path[:100]!r} is not taken: the number of images goes in 'n', and model, size and quality in fields of "
        "these names, beside 'prompt'."
    )
    return InvalidValue(text, param=name[:100])
