"""Price book as a document in YAML or JSON: reader and writer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from zoneinfo import ZoneInfo

from app.control.names import quoted
from app.control.prices import ListedPrice, PriceEntry
from app.core.intervals import iso
from app.core.money import decimal_text, micros
from app.core.pricing import PerImage, PerToken, Price
from app.errors import InvalidValue

DocumentFormat = Literal["yaml", "json"]
DOCUMENT_BYTES_MAX = 1024 * 1024
ENTRIES_MAX = 10_000
NAMES = ("operation", "size", "quality")
PER_IMAGE = "per_image"
PER_TOKEN = ("per_million_input_text", "per_million_input_image", "per_million_output", "ceiling_per_image")
_FIELDS = {"model", *NAMES, PER_IMAGE, *PER_TOKEN, "from"}
LONG_AGO = "2000-01-01"
_NOTHING = ("", "null", "~")


def read_document(text: str, format: DocumentFormat, currency: str) -> list[PriceEntry]:
    """Parse the prices of a document `{currency, prices: [...]}`. Raises InvalidValue, naming the entry that is wrong."""
    document = _parsed(text, format)
    if not isinstance(document, dict) or not isinstance(document.get("prices"), list):
        raise InvalidValue("A price book is a list under the name prices; `imagegate prices export` shows one.")
    if unknown := document.keys() - {"currency", "prices"}:
        raise InvalidValue(f"A price book has currency and prices; not {quoted(str(min(unknown, key=str)))}.")
    if (given := _text(document.get("currency"))) not in (None, currency):
        message = f"The prices are in {quoted(str(given))}, the book is in {currency}; nothing is ever converted."
        raise InvalidValue(message, param="currency")
    if len(document["prices"]) > ENTRIES_MAX:
        raise InvalidValue(f"A price book has at most {ENTRIES_MAX} prices.", param="prices")
    return [_entry(entry, f"prices.{number}") for number, entry in enumerate(document["prices"])]


def write_document(listed: Sequence[ListedPrice], format: DocumentFormat, zone: ZoneInfo, currency: str) -> str:
    """Write past, present and future prices without removed ones, so that importing the document again changes nothing."""
    book = [each.price for each in listed if each.price is not None and each.price.until_ms is None]
    # Of two prices with the same names and start, only the later one is ever in force.
    lasting = {(price.model, price.operation, price.size, price.quality, price.from_ms): price for price in book}
    rows = [_row(price, book, zone) for price in lasting.values()]
    document = {"currency": currency, "prices": rows}
    if format == "json":
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    import yaml

    written: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    return written


def amount_fields(amount: PerImage | PerToken) -> dict[str, str]:
    """Return the fields of an amount as plain decimals: `{"per_image": "0.08"}`, or the four per token."""
    if isinstance(amount, PerImage):
        return {PER_IMAGE: decimal_text(amount.micros)}
    return {name: decimal_text(value) for name, value in zip(PER_TOKEN, _four(amount), strict=True)}


def amount_of(given: Mapping[str, str | None], where: str = "") -> PerImage | PerToken:
    """Parse the fields that `amount_fields` makes. Raises InvalidValue, naming the field with the prefix `where`."""
    named = {name: text for name, text in given.items() if text is not None and name in (PER_IMAGE, *PER_TOKEN)}
    if {*named} == {PER_IMAGE}:
        return PerImage(_micros(named[PER_IMAGE], f"{where}{PER_IMAGE}"))
    if {*named} == {*PER_TOKEN}:
        return PerToken(*(_micros(named[name], f"{where}{name}") for name in PER_TOKEN))
    message = f"A price is either {PER_IMAGE}, or all four of {', '.join(PER_TOKEN)}."
    raise InvalidValue(message, param=f"{where}{PER_IMAGE}")


def _parsed(text: str, format: DocumentFormat) -> Any:
    """Parse the text. Numbers stay text: a float would change them."""
    if len(text.encode("utf-8", "replace")) > DOCUMENT_BYTES_MAX:
        raise InvalidValue(f"A price book has at most {DOCUMENT_BYTES_MAX:,} bytes.")
    try:
        if format == "json":
            return json.loads(text, parse_float=str, parse_int=str)
        import yaml

        return yaml.load(text, yaml.BaseLoader)
    except (ValueError, RecursionError) as exc:
        raise InvalidValue(f"This is not {format.upper()}: {str(exc)[:200]}.") from None
    except Exception as exc:
        if type(exc).__module__.partition(".")[0] != "yaml":
            raise
        raise InvalidValue(f"This is not YAML: {' '.join(str(exc).split())[:200]}.") from None


def _entry(entry: Any, where: str) -> PriceEntry:
    if not isinstance(entry, dict):
        raise InvalidValue(f"{where} is not a price: model, per_image and the like.", param=where)
    if unknown := entry.keys() - _FIELDS:
        name = quoted(str(min(unknown, key=str)))
        raise InvalidValue(f"{where} has a field {name}; there are: {', '.join(sorted(_FIELDS))}.", param=where)
    given = {name: _text(value, f"{where}.{name}") for name, value in entry.items()}
    if not given.get("model"):
        raise InvalidValue(f"{where} names no model.", param=f"{where}.model")
    names = {name: given.get(name) for name in NAMES}
    return PriceEntry(str(given["model"]), amount_of(given, f"{where}."), **names, starts=given.get("from"))


def _text(value: Any, where: str = "currency") -> str | None:
    if value is None or (isinstance(value, str) and value.strip() in _NOTHING):
        return None
    if not isinstance(value, str):
        raise InvalidValue(f"{where} must be a text or a number.", param=where)
    return value.strip()


def _row(price: Price, book: Sequence[Price], zone: ZoneInfo) -> dict[str, Any]:
    """Return the fields of a price. `from` is left out for a price from the beginning that no later price replaces."""
    names = {name: value for name in NAMES if (value := getattr(price, name)) is not None}
    starts = {}
    if price.from_ms:
        starts = {"from": iso_exact(price.from_ms, zone)}
    elif any(_same(price, other) and other.from_ms > 0 for other in book):
        starts = {"from": LONG_AGO}
    return {"model": price.model, **names, **amount_fields(price.amount), **starts}


def _same(one: Price, other: Price) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("model", *NAMES))


def iso_exact(at_ms: int, zone: ZoneInfo) -> str:
    """Format an instant to the millisecond, at which a price begins."""
    text = iso(at_ms, zone)
    return text if at_ms % 1000 == 0 else f"{text[:19]}.{at_ms % 1000:03d}{text[19:]}"


def _four(amount: PerToken) -> tuple[int, int, int, int]:
    return (
        amount.input_text_micros,
        amount.input_image_micros,
        amount.output_micros,
        amount.ceiling_micros_per_image,
    )


def _micros(text: str, where: str) -> int:
    try:
        return micros(text)
    except ValueError as exc:
        raise InvalidValue(f"{where}: {exc}.", param=where) from None
