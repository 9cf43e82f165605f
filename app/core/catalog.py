"""The catalog: which models may be asked for, for what, and at what price."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.core.pricing import Facts, PriceBook, Usage, closed
from app.core.request import ImageRequest, Operation
from app.errors import InvalidValue, ModelNotFound, ModelNotPriced, UnsupportedOperation


@dataclass(frozen=True, slots=True)
class Model:
    """An entry of the catalog. Empty `sizes` or `qualities`: any goes to the relay."""

    id: str
    operations: frozenset[Operation]
    sizes: tuple[str, ...]
    qualities: tuple[str, ...]
    refuses_response_format: bool
    created_at_ms: int
    prices: PriceBook

    def check(self, wanted: ImageRequest) -> None:
        """Raises UnsupportedOperation or InvalidValue when the catalog says no."""
        if wanted.operation not in self.operations:
            can = ", ".join(sorted(self.operations)) or "nothing yet"
            raise UnsupportedOperation(
                f"Model {self.id} does not do {wanted.operation}; it does: {can}.", param="model"
            )
        _check_listed("size", wanted.size, self.sizes, self.id)
        _check_listed("quality", wanted.quality, self.qualities, self.id)

    def is_priced_at(self, instant_ms: int) -> bool:
        return bool(self.prices.at(instant_ms))

    def quote_micros(self, wanted: ImageRequest, instant_ms: int) -> int:
        """The most `wanted` can cost, in micros. Raises ModelNotPriced, naming the command that sets a price."""
        quote = self.prices.quote_micros(wanted, instant_ms)
        if quote is None:
            raise ModelNotPriced(
                f"Model {self.id} has no price for this request ({_described(wanted)}), so it cannot be booked. An "
                f"administrator sets one with: `imagegate prices set {self.id} --per-image AMOUNT`",
                param="model",
            )
        return quote

    def cost_micros(self, wanted: ImageRequest, instant_ms: int, quote_micros: int, answer: "AnswerFacts") -> int:
        """Cost of the answer, in micros.

        Size and quality are the answer's, else the request's. Fewer images than asked cost the quote, because the relay bills
        the request; unless they are priced by tokens and the tokens were told. An answer no price covers costs the quote.
        """
        size, quality = closed(answer.size) or closed(wanted.size), closed(answer.quality) or closed(wanted.quality)
        facts = Facts(wanted.operation, size, quality)
        told = answer.usage is not None and self.prices.by_tokens(facts, instant_ms)
        if answer.images < wanted.n and not told:
            return quote_micros
        cost = self.prices.cost_micros(facts, instant_ms, max(answer.images, wanted.n), answer.usage)
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
    """Every model of the installation, as of one revision."""

    models: Mapping[str, Model]

    def model(self, name: str) -> Model:
        """Raises ModelNotFound."""
        try:
            return self.models[name]
        except KeyError:
            raise ModelNotFound(
                f"The model '{name}' does not exist here. GET /v1/models lists those that do.", param="model"
            ) from None


def _check_listed(field: str, value: str | None, listed: tuple[str, ...], model: str) -> None:
    if closed(value) and listed and value not in listed:
        raise InvalidValue(f"Invalid {field} '{value}' for {model}; it takes: {', '.join(listed)}.", param=field)


def _described(wanted: ImageRequest) -> str:
    return ", ".join(
        (wanted.operation, f"size {wanted.size or 'not given'}", f"quality {wanted.quality or 'not given'}")
    )
