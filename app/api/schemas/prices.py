"""Prices, imports of a price book, and comparisons with the relay's."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, seconds
from app.control.price_import import PriceImport, PriceStep
from app.control.prices import ListedPrice
from app.core.pricing import PerImage, PerToken
from app.core.request import DEFAULT_RELAY

_AMOUNTS = {
    "per_image_micros": 1_500_000,
    "per_million_input_text_micros": None,
    "per_million_input_image_micros": None,
    "per_million_output_micros": None,
    "ceiling_per_image_micros": None,
}
_PRICE = {
    "object": "price",
    "id": "price_6",
    "model": "gpt-image-1",
    "operation": None,
    "size": None,
    "quality": "high",
    **_AMOUNTS,
    "starts_at": 1796054400,
    "ends_at": None,
    "in_force": False,
}
_STEP = {
    "model": "gpt-image-1",
    "operation": None,
    "size": None,
    "quality": "high",
    "from": "2026-12-01",
    "was": None,
    "becomes": _AMOUNTS,
}


class PriceAmounts(AnswerModel):
    """Price per image, or per million tokens with a ceiling per image, in micros. The other fields are null."""

    per_image_micros: int | None = None
    per_million_input_text_micros: int | None = None
    per_million_input_image_micros: int | None = None
    per_million_output_micros: int | None = None
    ceiling_per_image_micros: int | None = None


class PriceOut(PriceAmounts, json_schema_extra={"example": _PRICE}):
    """Price of the book. Null in operation, size or quality means any; `starts_at` null means from the beginning."""

    object: Literal["price"] = "price"
    id: str
    model: str
    operation: str | None
    size: str | None
    quality: str | None
    starts_at: int | None
    ends_at: int | None = Field(description="When it was removed; null for a price that was not.")
    in_force: bool

    @classmethod
    def of(cls, listed: ListedPrice) -> Self:
        price = listed.price
        assert price is not None
        starts_at = seconds(price.from_ms) or None
        times = {"starts_at": starts_at, "ends_at": seconds(price.until_ms), "in_force": listed.in_force}
        return cls.from_record(price, id=f"price_{price.id}", **times, **amount_fields(price.amount))


class PriceStepOut(AnswerModel):
    """Price that is set, or would be. `was` null: no price was in force. `from` null: from now."""

    model: str
    operation: str | None
    size: str | None
    quality: str | None
    from_: str | None = Field(alias="from")
    was: PriceAmounts | None
    becomes: PriceAmounts

    @classmethod
    def of(cls, step: PriceStep) -> Self:
        was = PriceAmounts(**amount_fields(step.was)) if step.was else None
        becomes = PriceAmounts(**amount_fields(step.wanted.amount))
        return cls.from_record(step.wanted, was=was, becomes=becomes, **{"from": step.wanted.starts})


class PriceImportOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "price.import",
            "dry_run": False,
            "set": [_STEP],
            "unchanged": 3,
            "past": 0,
            "notes": ["imagen4: the relay tells no price of it"],
        }
    },
):
    """Result of an import or of a comparison with the relay. `past` counts prices that ended before now and are left out; `notes`
    name prices of the relay that could not be imported."""

    object: Literal["price.import"] = "price.import"
    dry_run: bool
    set: list[PriceStepOut]
    unchanged: int
    past: int
    notes: list[str]

    @classmethod
    def of(cls, found: PriceImport, *, dry_run: bool, notes: tuple[str, ...] = ()) -> Self:
        steps = [PriceStepOut.of(step) for step in found.steps]
        return cls(dry_run=dry_run, set=steps, unchanged=found.unchanged, past=found.past, notes=list(notes))


class PriceDocument(
    AnswerModel,
    json_schema_extra={
        "example": {
            "currency": "CNY",
            "prices": [
                {"model": "seedream-3.0", "per_image": "0.08"},
                {"model": "gpt-image-1", "quality": "high", "per_image": "1.50", "from": "2026-12-01T00:00:00+08:00"},
            ],
        }
    },
):
    """Price book as a document for `export` and `import`, with plain decimals."""

    currency: str
    prices: list[dict[str, str]]


_Amount = Annotated[str, Field(max_length=32)]
_Micros = Annotated[int, Field(ge=0)]


class PriceSet(
    InputModel, json_schema_extra={"example": {"model": "imagen4", "per_image_micros": 200_000, "from": "2026-12-01"}}
):
    """Price to set: per image, or the four per token, in micros or, under the name without `_micros`, as a plain decimal.
    `from` is a day like `2026-12-01` or an instant with its offset; without it the price is in force from now."""

    model: Annotated[str, Field(max_length=128)]
    operation: Literal["generation", "edit", "variation"] | None = None
    size: Annotated[str, Field(max_length=32)] | None = None
    quality: Annotated[str, Field(max_length=32)] | None = None
    per_image_micros: _Micros | None = None
    per_million_input_text_micros: _Micros | None = None
    per_million_input_image_micros: _Micros | None = None
    per_million_output_micros: _Micros | None = None
    ceiling_per_image_micros: _Micros | None = None
    per_image: _Amount | None = None
    per_million_input_text: _Amount | None = None
    per_million_input_image: _Amount | None = None
    per_million_output: _Amount | None = None
    ceiling_per_image: _Amount | None = None
    starts: Annotated[str | None, Field(alias="from", max_length=40)] = None


class PriceSync(
    InputModel,
    json_schema_extra={"example": {"apply": False, "models": ["gpt-image-1"], "group": "default", "relay": "default"}},
):
    """Comparison with the prices of a relay. `models` adds models of the relay to those of the catalog, `group` is the relay's
    group of the gateway's key, `relay` the name of the relay. `ceiling_per_image_micros` is for models that the relay prices by
    tokens and that have no ceiling yet. With `only` those of `models` are compared and no others. With `apply` the prices that
    differ are set from now on."""

    apply: bool = False
    only: bool = False
    models: list[Annotated[str, Field(max_length=128)]] = Field(default_factory=list, max_length=100)
    group: Annotated[str, Field(max_length=100)] = "default"
    relay: Annotated[str, Field(max_length=100)] = DEFAULT_RELAY
    ceiling_per_image_micros: Annotated[int | None, Field(gt=0)] = None


def amount_fields(amount: PerImage | PerToken) -> dict[str, Any]:
    """Return the fields of `PriceAmounts` that are not null."""
    if isinstance(amount, PerImage):
        return {"per_image_micros": amount.micros}
    return {
        "per_million_input_text_micros": amount.input_text_micros,
        "per_million_input_image_micros": amount.input_image_micros,
        "per_million_output_micros": amount.output_micros,
        "ceiling_per_image_micros": amount.ceiling_micros_per_image,
    }
