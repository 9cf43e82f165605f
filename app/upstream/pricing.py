"""What the relay says its models cost: `GET /api/pricing`, which needs no key where the operator allows it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from app.core.pricing import PerImage
from app.upstream.billing import Unusable, read_document
from app.upstream.client import RelayReader

PRICING = "/api/pricing"
RATIO_DOLLARS_PER_MILLION = 2
"""A model ratio of 1 is two site dollars per million tokens (new-api, the relay's program)."""
IMAGE_RATIO = Decimal(2)
"""Of image input to text input, where the relay does not tell it: its default for gpt-image-1."""
_PER_IMAGE = 1


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Micros per million tokens. The relay knows no most per image."""

    input_text_micros: int
    input_image_micros: int
    output_micros: int


@dataclass(frozen=True, slots=True)
class RelayPrices:
    """By model, in micros of our currency, for one group of the relay. `groups` are all it has."""

    models: Mapping[str, PerImage | TokenPrices]
    group: str
    groups: tuple[str, ...]


async def read_prices(
    upstream: RelayReader, group: str, micros_per_dollar: int, timeout_s: float = 30.0
) -> RelayPrices:
    """Raises Unusable, saying why, when the relay does not tell or has no such group."""
    try:
        return relay_prices(await read_document(upstream, PRICING, timeout_s), group, micros_per_dollar)
    except Unusable as exc:
        raise Unusable(f"{PRICING} {exc}") from None


def relay_prices(document: Any, group: str, micros_per_dollar: int) -> RelayPrices:
    """Prices of `group` out of the relay's answer. Rows that cannot be read are left out. Raises Unusable."""
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list) or document.get("success") is False:
        raise Unusable("is not a list of prices")
    groups = document.get("group_ratio")
    ratios = {name: ratio for name, ratio in groups.items() if _number(ratio) is not None} if _is_map(groups) else {}
    if group not in ratios:
        raise Unusable(f"has no group {group[:40]!r}; it has: {', '.join(map(str, ratios)) or 'none'}")
    factor = Decimal(str(ratios[group])) * micros_per_dollar
    found = dict(_priced(rows, factor))
    return RelayPrices(found, group, tuple(map(str, ratios)))


def _priced(rows: list[Any], factor: Decimal) -> Iterator[tuple[str, PerImage | TokenPrices]]:
    for row in rows:
        name = row.get("model_name") if _is_map(row) else None
        if not isinstance(name, str):
            continue
        price = _per_image(row, factor) if row.get("quota_type") == _PER_IMAGE else _per_token(row, factor)
        if price is not None:
            yield name[:128], price


def _per_image(row: Mapping[str, Any], factor: Decimal) -> PerImage | None:
    dollars = _number(row.get("model_price"))
    return None if dollars is None else PerImage(_up(dollars * factor))


def _per_token(row: Mapping[str, Any], factor: Decimal) -> TokenPrices | None:
    ratio, completion = _number(row.get("model_ratio")), _number(row.get("completion_ratio"))
    if row.get("quota_type") != 0 or ratio is None or completion is None:
        return None
    text = ratio * RATIO_DOLLARS_PER_MILLION * factor
    image = text * (_number(row.get("image_ratio")) or IMAGE_RATIO)
    return TokenPrices(_up(text), _up(image), _up(text * completion))


def _number(value: Any) -> Decimal | None:
    """What can be a price or a ratio: not negative and of a sane size."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**9:
        return None
    return Decimal(str(value))


def _up(micros: Decimal) -> int:
    return int(micros.to_integral_value(rounding=ROUND_CEILING))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)
