"""Reader of the relay's prices, `GET /api/pricing`. Some operators require a key for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from app.core.pricing import PerImage
from app.upstream.billing import RelayDataError, read_document
from app.upstream.client import RelayReader

PRICING = "/api/pricing"
RATIO_DOLLARS_PER_MILLION = 2
"""Site dollars per million tokens for a model ratio of 1, in new-api, the relay's software."""
IMAGE_RATIO = Decimal(2)
"""Price of image input tokens relative to text input, if the relay states none: its default for gpt-image-1."""
_PER_IMAGE = 1


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Prices in micros per million tokens. The relay states no maximum per image."""

    input_text_micros: int
    input_image_micros: int
    output_micros: int


@dataclass(frozen=True, slots=True)
class RelayPrices:
    """Prices by model, in micros of our currency, for one group of the relay. `groups` lists all its groups."""

    models: Mapping[str, PerImage | TokenPrices]
    group: str
    groups: tuple[str, ...]


async def read_prices(
    upstream: RelayReader, group: str, micros_per_dollar: int, timeout_s: float = 30.0
) -> RelayPrices:
    """Read the prices of `group`. Raises RelayDataError when the relay shows no prices or has no such group."""
    try:
        return relay_prices(await read_document(upstream, PRICING, timeout_s), group, micros_per_dollar)
    except RelayDataError as exc:
        raise RelayDataError(f"{PRICING} {exc}") from None


def relay_prices(document: Any, group: str, micros_per_dollar: int) -> RelayPrices:
    """Parse the prices for `group`, one of the relay's groups of customers. Skips unreadable rows. Raises RelayDataError."""
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list) or document.get("success") is False:
        raise RelayDataError("is not a list of prices")
    groups = document.get("group_ratio")
    ratios = {name: ratio for name, ratio in groups.items() if _number(ratio) is not None} if _is_map(groups) else {}
    if group not in ratios:
        raise RelayDataError(f"has no group {group[:40]!r}; it has: {', '.join(map(str, ratios)) or 'none'}")
    factor = Decimal(str(ratios[group])) * micros_per_dollar
    found = dict(_prices_by_model(rows, factor))
    return RelayPrices(found, group, tuple(map(str, ratios)))


def _prices_by_model(rows: list[Any], factor: Decimal) -> Iterator[tuple[str, PerImage | TokenPrices]]:
    for row in rows:
        name = row.get("model_name") if _is_map(row) else None
        if not isinstance(name, str):
            continue
        price = _per_image(row, factor) if row.get("quota_type") == _PER_IMAGE else _per_token(row, factor)
        if price is not None:
            yield name[:128], price


def _per_image(row: Mapping[str, Any], factor: Decimal) -> PerImage | None:
    dollars = _number(row.get("model_price"))
    return None if dollars is None else PerImage(_round_up(dollars * factor))


def _per_token(row: Mapping[str, Any], factor: Decimal) -> TokenPrices | None:
    ratio, completion = _number(row.get("model_ratio")), _number(row.get("completion_ratio"))
    if row.get("quota_type") != 0 or ratio is None or completion is None:
        return None
    text = ratio * RATIO_DOLLARS_PER_MILLION * factor
    image = text * (_number(row.get("image_ratio")) or IMAGE_RATIO)
    return TokenPrices(_round_up(text), _round_up(image), _round_up(text * completion))


def _number(value: Any) -> Decimal | None:
    """Return a price or ratio as a decimal; None unless it is a number from 0 to below 10**9."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**9:
        return None
    return Decimal(str(value))


def _round_up(micros: Decimal) -> int:
    return int(micros.to_integral_value(rounding=ROUND_CEILING))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)
