"""Prices of a model as grids: what one picture costs by size and quality."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.core.catalog import Model
from app.core.pricing import Facts, Price
from app.core.request import Operation
from app.core.spellings import pixels_of

QUALITY_ORDER = ("low", "standard", "medium", "high", "hd")


@dataclass(frozen=True, slots=True)
class PriceGrid:
    """Prices in force of one picture. `operation` is None where every operation costs the same. `rows` has a row for each of
    `sizes` and in it a price for each of `qualities`, None where that is refused; an empty name is any other."""

    operation: Operation | None
    sizes: tuple[str, ...]
    qualities: tuple[str, ...]
    rows: tuple[tuple[Price | None, ...], ...]


def price_grids(model: Model, now_ms: int) -> list[PriceGrid]:
    """Make one grid for each operation, or one for all where they cost the same. An unpriced model has none."""
    if not model.is_priced_at(now_ms):
        return []
    grids = [_grid(model, operation, now_ms) for operation in sorted(model.operations)]
    alike = {(grid.sizes, grid.qualities, grid.rows) for grid in grids}
    if len(alike) == 1:
        return [PriceGrid(None, *alike.pop())]
    return grids


def _grid(model: Model, operation: Operation, now_ms: int) -> PriceGrid:
    prices = [price for price in model.prices.at(now_ms) if price.operation in (None, operation)]
    sizes = _axis([price.size for price in prices], model.sizes, _area)
    qualities = _axis([price.quality for price in prices], model.qualities, _rank)
    rows = tuple(
        tuple(model.prices.price_of(Facts(operation, size or None, quality or None), now_ms) for quality in qualities)
        for size in sizes
    )
    return PriceGrid(operation, sizes, qualities, rows)


def _axis(named: Sequence[str | None], listed: Iterable[str], key: Callable[[str], tuple[int, str]]) -> tuple[str, ...]:
    """Sort the names that prices have; an empty one follows for all others, unless the model takes no other."""
    known = sorted({name for name in named if name is not None}, key=key)
    taken = {name for name in listed if name != "auto"}
    return (*known,) if taken and taken <= set(known) else (*known, "")


def _area(size: str) -> tuple[int, str]:
    return pixels_of(size) or 0, size


def _rank(quality: str) -> tuple[int, str]:
    return QUALITY_ORDER.index(quality) if quality in QUALITY_ORDER else len(QUALITY_ORDER), quality
