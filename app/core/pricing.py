"""Prices: the most a request can cost, and the cost of its answer.

A price names a model and, where it matters, an operation, a size or a quality; it counts from an instant on. A request freezes
an instant, not a row: the quote is the dearest price among the answers its open fields allow, the cost is that of the answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

from app.core.money import per_million_micros, rounded_up
from app.core.request import ImageRequest, Operation

OPEN = (None, "", "auto")
"""A size or quality that leaves the choice to the model."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the relay reports them; the split of the input is None where it is not told."""

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_text_tokens: int | None = None
    input_image_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PerImage:
    micros: int

    def quote_micros(self, images: int) -> int:
        return self.micros * images

    def cost_micros(self, images: int, usage: Usage | None) -> int:  # noqa: ARG002  (the same call for both kinds)
        return self.micros * images


@dataclass(frozen=True, slots=True)
class PerToken:
    """Micros per million tokens; `ceiling_micros_per_image` is held, and booked when the usage is missing."""

    input_text_micros: int
    input_image_micros: int
    output_micros: int
    ceiling_micros_per_image: int

    def quote_micros(self, images: int) -> int:
        return self.ceiling_micros_per_image * images

    def cost_micros(self, images: int, usage: Usage | None) -> int:
        """Cost by tokens, in micros. Input of an unknown kind counts as the dearer kind; without usage: the ceiling."""
        if usage is None:
            return self.quote_micros(images)
        text, image = usage.input_text_tokens, usage.input_image_tokens
        if text is None or image is None:
            dearer = max(self.input_text_micros, self.input_image_micros)
            inputs = per_million_micros(usage.input_tokens, dearer)
        else:
            inputs = per_million_micros(text, self.input_text_micros) + per_million_micros(
                image, self.input_image_micros
            )
        return rounded_up(inputs + per_million_micros(usage.output_tokens, self.output_micros))


@dataclass(frozen=True, slots=True)
class Price:
    """A row of the price book; None stands for any. Of rows with the same names the latest `from_ms`, then `id`, counts."""

    id: int
    model: str
    operation: Operation | None
    size: str | None
    quality: str | None
    from_ms: int
    amount: PerImage | PerToken

    @property
    def named(self) -> int:
        """Number of operation, size and quality that it names; the most specific price counts."""
        return sum(name is not None for name in (self.operation, self.size, self.quality))


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of an answer that a price depends on. None in size or quality stands for one that no price names."""

    operation: Operation
    size: str | None
    quality: str | None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The prices of one model, over all time."""

    prices: tuple[Price, ...]
    _in_force: dict[int, tuple[Price, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache of the rows in force, keyed by the number of prices that had begun: every request asks twice."""

    def at(self, instant_ms: int) -> tuple[Price, ...]:
        """The rows in force at an instant: one for each combination of names."""
        begun = sum(price.from_ms <= instant_ms for price in self.prices)
        if begun not in self._in_force:
            self._in_force[begun] = self._begun_by(instant_ms)
        return self._in_force[begun]

    def _begun_by(self, instant_ms: int) -> tuple[Price, ...]:
        latest: dict[tuple[str | None, ...], Price] = {}
        for price in sorted(self.prices, key=lambda price: (price.from_ms, price.id)):
            if price.from_ms <= instant_ms:
                latest[price.operation, price.size, price.quality] = price
        return tuple(latest.values())

    def quote_micros(self, wanted: ImageRequest, instant_ms: int) -> int | None:
        """The most `wanted` can cost; None where no price covers it."""
        return max(self.quotes_micros(wanted, instant_ms), default=None)

    def quotes_micros(self, wanted: ImageRequest, instant_ms: int) -> frozenset[int]:
        """Possible costs of `wanted` in micros, one for each price its open fields allow."""
        rows = self.at(instant_ms)
        return frozenset(
            row.amount.quote_micros(wanted.n) for facts in _possible(rows, wanted) if (row := _meant(rows, facts))
        )

    def cost_micros(self, facts: Facts, instant_ms: int, images: int, usage: Usage | None) -> int | None:
        """Cost of `images` of such an answer in micros; None where no price covers it."""
        row = _meant(self.at(instant_ms), facts)
        return row.amount.cost_micros(images, usage) if row else None

    def by_tokens(self, facts: Facts, instant_ms: int) -> bool:
        """True when such an answer is priced by its tokens."""
        row = _meant(self.at(instant_ms), facts)
        return row is not None and isinstance(row.amount, PerToken)


def closed(value: str | None) -> str | None:
    """Return None for a size or quality that leaves the choice to the model."""
    return None if value in OPEN else value


def _possible(rows: Iterable[Price], wanted: ImageRequest) -> Iterator[Facts]:
    """Every answer the open fields allow, told apart only where a price does."""
    rows = tuple(rows)
    sizes = {closed(wanted.size)} if closed(wanted.size) else {None, *(row.size for row in rows)}
    qualities = {closed(wanted.quality)} if closed(wanted.quality) else {None, *(row.quality for row in rows)}
    for size, quality in product(sizes, qualities):
        yield Facts(wanted.operation, size, quality)


def _meant(rows: Iterable[Price], facts: Facts) -> Price | None:
    """Choose the fitting row that names most; among equals the dearest."""
    fits = [
        row
        for row in rows
        if row.operation in (None, facts.operation)
        and row.size in (None, facts.size)
        and row.quality in (None, facts.quality)
    ]
    if len(fits) > 1:
        return max(fits, key=lambda row: (row.named, row.amount.quote_micros(1)))
    return fits[0] if fits else None
