"""Catalog of models: their operations, sizes, qualities and prices."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.core.pricing import Facts, PriceBook, Usage, explicit
from app.core.request import ImageRequest, Operation
from app.errors import InvalidValue, ModelNotFound, ModelNotPriced, UnsupportedOperation


@dataclass(frozen=True, slots=True)
class Model:
    """Entry of the catalog. Empty `sizes` or `qualities` allow any value."""

    id: str
    operations: frozenset[Operation]
    sizes: tuple[str, ...]
    qualities: tuple[str, ...]
    refuses_response_format: bool
    created_at_ms: int
    prices: PriceBook

    def check(self, request: ImageRequest) -> None:
        """Check operation, size and quality. Raises UnsupportedOperation and InvalidValue."""
        if request.operation not in self.operations:
            supported = ", ".join(sorted(self.operations)) or "nothing yet"
            raise UnsupportedOperation(
                f"Model {self.id} does not do {request.operation}; it does: {supported}.", param="model"
            )
        _check_listed("size", request.size, self.sizes, self.id)
        _check_listed("quality", request.quality, self.qualities, self.id)

    def is_priced_at(self, instant_ms: int) -> bool:
        return bool(self.prices.at(instant_ms))

    def quote_micros(self, request: ImageRequest, instant_ms: int) -> int:
        """Return the most `request` can cost, in micros. Raises ModelNotPriced."""
        quote = self.prices.quote_micros(request, instant_ms)
        if quote is None:
            raise ModelNotPriced(
                f"Model {self.id} has no price for this request ({_describe(request)}), so it cannot be booked. An "
                f"administrator sets one with: `imagegate prices set {self.id} --per-image AMOUNT`",
                param="model",
            )
        return quote

    def cost_micros(self, request: ImageRequest, instant_ms: int, quote_micros: int, answer: "AnswerFacts") -> int:
        """Return the cost of an answer, in micros.

        Size and quality are the answer's, else the request's. Fewer images than requested cost the quote, because the relay
        bills the request, unless the price is by tokens and the answer reports them. An answer that no price covers costs the
        quote.
        """
        size, quality = (
            explicit(answer.size) or explicit(request.size),
            explicit(answer.quality) or explicit(request.quality),
        )
        facts = Facts(request.operation, size, quality)
        is_by_known_tokens = answer.usage is not None and self.prices.is_by_tokens(facts, instant_ms)
        if answer.images < request.n and not is_by_known_tokens:
            return quote_micros
        cost = self.prices.cost_micros(facts, instant_ms, max(answer.images, request.n), answer.usage)
        return quote_micros if cost is None else cost


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """Facts of the relay's answer that its cost depends on."""

    images: int
    size: str | None
    quality: str | None
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models of the installation, as of one revision of the control data."""

    models: Mapping[str, Model]

    def model(self, name: str) -> Model:
        """Look up a model. Raises ModelNotFound."""
        try:
            return self.models[name]
        except KeyError:
            raise ModelNotFound(
                f"The model '{name}' does not exist here. GET /v1/models lists those that do.", param="model"
            ) from None


def _check_listed(field: str, value: str | None, listed: tuple[str, ...], model: str) -> None:
    if explicit(value) and listed and value not in listed:
        raise InvalidValue(f"Invalid {field} '{value}' for {model}; it takes: {', '.join(listed)}.", param=field)


def _describe(request: ImageRequest) -> str:
    return ", ".join(
        (request.operation, f"size {request.size or 'not given'}", f"quality {request.quality or 'not given'}")
    )
