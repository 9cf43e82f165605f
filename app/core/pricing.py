"""Prices: the most a request can cost, and the cost of its answer.

A price names a model and optionally an operation, a size or a quality; it is in force from an instant on. A request is priced
by the rows in force when it was reserved. A size or quality that it leaves to the model can match several rows: the quote is the
dearest of them, the cost is the price of the actual answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product

from app.core.money import per_million_micros, rounded_up
from app.core.request import ImageRequest, Operation
from app.core.spellings import folded_choice

UNSPECIFIED = (None, "", "auto")
"""Values of size and quality that leave the choice to the model."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the relay reports them. The split of the input is None when it is not reported."""

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_text_tokens: int | None = None
    input_image_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PerImage:
    """Price per image, in micros."""

    micros: int

    def quote_micros(self, images: int) -> int:
        return self.micros * images

    def cost_micros(self, images: int, usage: Usage | None) -> int:  # noqa: ARG002  (the same call for both kinds)
        return self.micros * images


@dataclass(frozen=True, slots=True)
class PerToken:
    """Price in micros per million tokens. `ceiling_micros_per_image` is reserved, and charged when the usage is missing."""

    input_text_micros: int
    input_image_micros: int
    output_micros: int
    ceiling_micros_per_image: int

    def quote_micros(self, images: int) -> int:
        return self.ceiling_micros_per_image * images

    def cost_micros(self, images: int, usage: Usage | None) -> int:
        """Return the cost in micros: by tokens, or the ceiling without usage. Input of an unknown kind costs as the dearer kind."""
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
    """Row of the price book; None means any. Of rows for the same operation, size and quality the latest `from_ms`, then `id`,
    is in force."""

    id: int
    model: str
    operation: Operation | None
    size: str | None
    quality: str | None
    from_ms: int
    amount: PerImage | PerToken

    @property
    def specificity(self) -> int:
        """Number of operation, size and quality that it names; the most specific matching price is used."""
        return sum(name is not None for name in (self.operation, self.size, self.quality))


@dataclass(frozen=True, slots=True)
class Facts:
    """Properties of an answer that its price depends on. None in size or quality means one that no price names."""

    operation: Operation
    size: str | None
    quality: str | None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Prices of one model, over all time."""

    prices: tuple[Price, ...]
    _in_force: dict[int, tuple[Price, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache of the rows in force, by the number of prices that had started; every request needs them twice."""

    def at(self, instant_ms: int) -> tuple[Price, ...]:
        """Return the rows in force at an instant (Unix ms), one for each combination of operation, size and quality."""
        started = sum(price.from_ms <= instant_ms for price in self.prices)
        if started not in self._in_force:
            self._in_force[started] = self._in_force_at(instant_ms)
        return self._in_force[started]

    def _in_force_at(self, instant_ms: int) -> tuple[Price, ...]:
        latest: dict[tuple[str | None, ...], Price] = {}
        for price in sorted(self.prices, key=lambda price: (price.from_ms, price.id)):
            if price.from_ms <= instant_ms:
                spelled = replace(price, size=explicit(price.size), quality=explicit(price.quality))
                latest[spelled.operation, spelled.size, spelled.quality] = spelled
        return tuple(latest.values())

    def quote_micros(self, request: ImageRequest, instant_ms: int) -> int | None:
        """Return the most `request` can cost, in micros; None when no price covers it."""
        return max(self.quotes_micros(request, instant_ms), default=None)

    def quotes_micros(self, request: ImageRequest, instant_ms: int) -> frozenset[int]:
        """Return the possible costs of `request` in micros, one for each price that its unspecified fields allow."""
        rows = self.at(instant_ms)
        return frozenset(
            row.amount.quote_micros(request.n)
            for facts in _possible_facts(rows, request)
            if (row := _matching_price(rows, facts))
        )

    def cost_micros(self, facts: Facts, instant_ms: int, images: int, usage: Usage | None) -> int | None:
        """Return the cost of an answer with `images` images, in micros; None when no price covers it."""
        row = _matching_price(self.at(instant_ms), facts)
        return row.amount.cost_micros(images, usage) if row else None

    def leaves_open(self, facts: Facts, instant_ms: int) -> bool:
        """Return whether `facts` lack a size or quality by which prices of their operation differ."""
        rows = [row for row in self.at(instant_ms) if row.operation in (None, facts.operation)]
        return (facts.size is None and any(row.size for row in rows)) or (
            facts.quality is None and any(row.quality for row in rows)
        )

    def is_by_tokens(self, facts: Facts, instant_ms: int) -> bool:
        """Return whether such an answer is priced by its tokens."""
        row = _matching_price(self.at(instant_ms), facts)
        return row is not None and isinstance(row.amount, PerToken)


def explicit(value: str | None) -> str | None:
    """Return a size or quality in its one spelling, or None for a value that leaves the choice to the model."""
    spelled = None if value is None else folded_choice(value)
    return None if spelled in UNSPECIFIED else spelled


def _possible_facts(rows: Iterable[Price], request: ImageRequest) -> Iterator[Facts]:
    """Yield the answers that the unspecified fields allow, one for each size and quality that a price names."""
    rows = tuple(rows)
    sizes = {explicit(request.size)} if explicit(request.size) else {None, *(row.size for row in rows)}
    qualities = {explicit(request.quality)} if explicit(request.quality) else {None, *(row.quality for row in rows)}
    for size, quality in product(sizes, qualities):
        yield Facts(request.operation, size, quality)


def _matching_price(rows: Iterable[Price], facts: Facts) -> Price | None:
    """Choose the most specific matching row; the dearest of equally specific ones."""
    matching = [
        row
        for row in rows
        if row.operation in (None, facts.operation)
        and row.size in (None, facts.size)
        and row.quality in (None, facts.quality)
    ]
    if len(matching) > 1:
        return max(matching, key=lambda row: (row.specificity, row.amount.quote_micros(1)))
    return matching[0] if matching else None
