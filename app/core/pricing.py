"""Prices: the most a request can cost, and the cost of its answer.

A price names a model and optionally an operation, a size or a quality; it is in force from an instant on, until it is
removed. A request is priced by the rows in force when it was reserved. A size or quality that it leaves to the model can match
several rows: the quote is the dearest of them, the cost is the price of the actual answer.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product

from app.core.field_names import QUALITIES, SIZES, has_field
from app.core.money import per_million_micros, rounded_up
from app.core.request import ImageRequest, Operation
from app.core.spellings import folded_choice, pixels_of

UNSPECIFIED = (None, "", "auto")
"""Values of size and quality that leave the choice to the model."""
QUALITY_WORDS = frozenset({"low", "medium", "high", "standard"})
"""Qualities that mean themselves although no price names them. `hd` may be any: relays draw the dearest for it."""


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
    """Row of the price book; None means any. Of rows for the same operation, size and quality the one with the latest
    `from_ms` is in force, of equal ones that with the highest `id`; none is after its `until_ms`."""

    id: int
    model: str
    operation: Operation | None
    size: str | None
    quality: str | None
    from_ms: int
    amount: PerImage | PerToken
    until_ms: int | None = None

    def counts_at(self, instant_ms: int) -> bool:
        """Return whether it has started and is not removed."""
        return self.from_ms <= instant_ms and (self.until_ms is None or instant_ms < self.until_ms)

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
    _changes_ms: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Instants (Unix ms) at which a price begins or ends, in order."""
    _in_force: dict[int, tuple[Price, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache of the rows in force, by the number of changes that had happened; every request needs them twice."""

    def __post_init__(self) -> None:
        ends_ms = [price.until_ms for price in self.prices if price.until_ms is not None]
        changes_ms = sorted([*(price.from_ms for price in self.prices), *ends_ms])
        object.__setattr__(self, "_changes_ms", tuple(changes_ms))

    def at(self, instant_ms: int) -> tuple[Price, ...]:
        """Return the rows in force at an instant (Unix ms), one for each combination of operation, size and quality."""
        changes = bisect_right(self._changes_ms, instant_ms)
        if changes not in self._in_force:
            self._in_force[changes] = self._in_force_at(instant_ms)
        return self._in_force[changes]

    def _in_force_at(self, instant_ms: int) -> tuple[Price, ...]:
        latest: dict[tuple[str | None, ...], Price] = {}
        for price in sorted(self.prices, key=lambda price: (price.from_ms, price.id)):
            if price.counts_at(instant_ms):
                spelled = replace(price, size=explicit(price.size), quality=explicit(price.quality))
                latest[spelled.operation, spelled.size, spelled.quality] = spelled
        return tuple(latest.values())

    def quote_micros(self, request: ImageRequest, instant_ms: int) -> int | None:
        """Return the most `request` can cost, in micros; None when no price covers it."""
        return max(self.quotes_micros(request, instant_ms), default=None)

    def quotes_micros(self, request: ImageRequest, instant_ms: int) -> frozenset[int]:
        """Return the possible costs of `request` in micros, one for each price that can apply; empty when none covers it."""
        rows = self._of_operation(request.operation, instant_ms)
        if not _matching(rows, _choices(rows, request)):
            return frozenset()
        matching = _matching(rows, (_possible_sizes(rows, request), _possible_qualities(rows, request)))
        return frozenset(row.amount.quote_micros(request.n) for row in matching)

    def cost_micros(self, facts: Facts, instant_ms: int, images: int, usage: Usage | None) -> int | None:
        """Return the cost of an answer with `images` images, in micros; None when no price covers it."""
        row = self.price_of(facts, instant_ms)
        return row.amount.cost_micros(images, usage) if row else None

    def leaves_open(self, request: ImageRequest, answered: Facts, instant_ms: int) -> bool:
        """Return whether size or quality, by which prices differ, can be known neither from the answer nor from the request."""
        rows = self._of_operation(request.operation, instant_ms)
        return (answered.size is None and len(_possible_sizes(rows, request)) > 1) or (
            answered.quality is None and len(_possible_qualities(rows, request)) > 1
        )

    def price_of(self, facts: Facts, instant_ms: int) -> Price | None:
        """Return the price of such an answer at an instant (Unix ms); None when none covers it."""
        return _matching_price(self._of_operation(facts.operation, instant_ms), facts.size, facts.quality)

    def _of_operation(self, operation: Operation, instant_ms: int) -> tuple[Price, ...]:
        return tuple(row for row in self.at(instant_ms) if row.operation in (None, operation))

    def is_by_tokens(self, facts: Facts, instant_ms: int) -> bool:
        """Return whether such an answer is priced by its tokens."""
        row = self.price_of(facts, instant_ms)
        return row is not None and isinstance(row.amount, PerToken)


def explicit(value: str | None) -> str | None:
    """Return a size or quality in its one spelling, or None for a value that leaves the choice to the model."""
    spelled = None if value is None else folded_choice(value)
    return None if spelled in UNSPECIFIED else spelled


def _choices(rows: Iterable[Price], request: ImageRequest) -> tuple[set[str | None], set[str | None]]:
    """Return the sizes and qualities that `request` asks for: its own, or where it names none every one that a price names."""
    size, quality = explicit(request.size), explicit(request.quality)
    return (
        {size} if size else {None, *(row.size for row in rows)},
        {quality} if quality else {None, *(row.quality for row in rows)},
    )


def _possible_sizes(rows: Iterable[Price], request: ImageRequest) -> set[str | None]:
    """Return the sizes that the relay may draw.

    A size that no price names may be drawn as any named one that is not larger. One that is not in pixels, and any size beside
    another field that decides it, may be drawn as any named one.
    """
    size = explicit(request.size)
    named = {row.size for row in rows if row.size is not None}
    if not named:
        return {size}
    if size is None or has_field(request.fields, SIZES):
        return {size, None, *named}
    if size in named:
        return {size}
    pixels = pixels_of(size)
    return {size, *(other for other in named if pixels is None or (pixels_of(other) or 0) <= pixels)}


def _possible_qualities(rows: Iterable[Price], request: ImageRequest) -> set[str | None]:
    """Return the qualities that the relay may draw; a word that is none of OpenAI's and that no price names may mean any."""
    quality = explicit(request.quality)
    named = {row.quality for row in rows if row.quality is not None}
    if not named:
        return {quality}
    if quality is None or has_field(request.fields, QUALITIES):
        return {quality, None, *named}
    return {quality} if quality in named | QUALITY_WORDS else {quality, *named}


def _matching(rows: tuple[Price, ...], choices: tuple[set[str | None], set[str | None]]) -> list[Price]:
    """Return the price of each combination of a size and a quality that has one. `rows` are those of one operation."""
    matching = (_matching_price(rows, size, quality) for size, quality in product(*choices))
    return [row for row in matching if row is not None]


def _matching_price(rows: Iterable[Price], size: str | None, quality: str | None) -> Price | None:
    """Choose the most specific matching row of one operation; the dearest of equally specific ones."""
    matching = [row for row in rows if row.size in (None, size) and row.quality in (None, quality)]
    if len(matching) > 1:
        return max(matching, key=lambda row: (row.specificity, row.amount.quote_micros(1)))
    return matching[0] if matching else None
