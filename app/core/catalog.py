"""Catalog of models: their operations, sizes, qualities and prices."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from app.core.aliases import ALIAS_NAME, ModelAlias, matching_alias
from app.core.pricing import Facts, PriceBook, Usage, explicit
from app.core.relays import DEFAULT, Relay, dearest_micros
from app.core.request import ImageRequest, Operation
from app.errors import InvalidValue, ModelNotFound, ModelNotPriced, UnsupportedOperation, UpstreamModelUnavailable

NAMES_MAX = 20
"""Most names in an error message."""


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
        quote, and so does one that leaves open which price applies; more images cost it for each one.
        """
        answered = Facts(request.operation, explicit(answer.size), explicit(answer.quality))
        facts = replace(
            answered,
            size=answered.size or explicit(request.size),
            quality=answered.quality or explicit(request.quality),
        )
        is_by_known_tokens = answer.usage is not None and self.prices.is_by_tokens(facts, instant_ms)
        if answer.images < request.n and not is_by_known_tokens:
            return quote_micros
        images = max(answer.images, request.n)
        cost = self.prices.cost_micros(facts, instant_ms, images, answer.usage)
        if cost is None or self.prices.leaves_open(request, answered, instant_ms):
            return quote_micros * images // request.n  # Without a remainder: a quote is the same amount for each image.
        return cost


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """Facts of the relay's answer that its cost depends on."""

    images: int
    size: str | None
    quality: str | None
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models, aliases and relays of the installation, as of one revision of the control data. A model takes precedence over
    aliases of its name. `removed` models price only what was requested before; `relays` has the removed ones, too."""

    models: Mapping[str, Model]
    aliases: tuple[ModelAlias, ...] = ()
    removed: Mapping[str, Model] = field(default_factory=dict)
    relays: Mapping[str, Relay] = field(default_factory=lambda: {DEFAULT.name: DEFAULT})

    @property
    def known(self) -> Mapping[str, Model]:
        """Models there are and those there were."""
        return {**self.removed, **self.models}

    def relays_for(self, model: str) -> tuple[Relay, ...]:
        """List the relays that get requests for a model. Raises UpstreamModelUnavailable where there is none."""
        found = tuple(relay for relay in self.relays.values() if relay.serves(model))
        if not found:
            raise UpstreamModelUnavailable(
                f"No relay that is in use serves {model}; nothing was bought. An administrator can see them with: "
                "`imagegate relays list`"
            )
        return found

    def quote_micros(self, model: Model, request: ImageRequest, instant_ms: int) -> int:
        """Return the most a request can cost at the dearest relay that may get it, in micros. Raises ModelNotPriced, and as
        `relays_for` does."""
        return dearest_micros(self.relays_for(model.id), model.quote_micros(request, instant_ms))

    def alias(self, name: str) -> ModelAlias | None:
        """Find the alias that `name` is an instance of; None for a model and for an unknown name."""
        return None if name in self.models else matching_alias(self.aliases, name)

    def resolve(self, request: ImageRequest) -> ImageRequest:
        """Return a request for an alias as one for its model, any other unchanged. Idempotent."""
        alias = self.alias(request.model)
        return request if alias is None else alias.translate(request)

    def find(self, name: str) -> Model | None:
        """Find a model by its name or by an alias."""
        alias = self.alias(name)
        return self.models.get(name if alias is None else alias.model)

    def named_aliases(self) -> list[ModelAlias]:
        """List the aliases that are names, not patterns, and that no model hides."""
        return [alias for alias in self.aliases if not alias.is_pattern and alias.name not in self.models]

    def not_found(self, name: str, usable: Sequence[str]) -> ModelNotFound:
        """Make the error for an unknown name. It names the models in `usable`, the nearest name, and how to add an alias."""
        aliases = {alias.name: alias.model for alias in self.named_aliases() if alias.model in usable}
        close = get_close_matches(name, [*usable, *aliases], 1)
        suggestion = f" Did you mean '{close[0]}'?" if close else ""
        there = f"There are: {_listed([*usable, *aliases])}."
        new = shlex.quote(name) if ALIAS_NAME.fullmatch(name) else "NAME"
        target = aliases.get(close[0], close[0]) if close else "MODEL"
        return ModelNotFound(
            f"The model '{name[:100]}' does not exist here.{suggestion} {there} An administrator can let this name stand for one "
            f"of them: `imagegate models alias {new} {target}`",
            param="model",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_MAX} more (GET /v1/models)" if len(names) > NAMES_MAX else ""
    return (", ".join(names[:NAMES_MAX]) or "none for this key") + more


def _check_listed(field: str, value: str | None, listed: tuple[str, ...], model: str) -> None:
    if explicit(value) and listed and explicit(value) not in [explicit(choice) for choice in listed]:
        raise InvalidValue(f"Invalid {field} '{value}' for {model}; it takes: {', '.join(listed)}.", param=field)


def _describe(request: ImageRequest) -> str:
    return ", ".join(
        (request.operation, f"size {request.size or 'not given'}", f"quality {request.quality or 'not given'}")
    )
