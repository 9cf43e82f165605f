"""imagegate prices: what models cost, from a date on."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.command import Call, command
from app.cli.output import Column, Output, say
from app.errors import InvalidValue

if TYPE_CHECKING:
    from app.control.prices import ListedPrice
    from app.core.pricing import PerImage, PerToken

app = typer.Typer(help="What models cost, from a date on. A priced model is in the catalog.")


class Operation(StrEnum):
    generation = "generation"
    edit = "edit"
    variation = "variation"


class DocumentFormat(StrEnum):
    yaml = "yaml"
    json = "json"


Money = Annotated[str | None, typer.Option(metavar="0.08", help="An amount of money.")]
_PRICE = [
    Column("model"),
    Column("operations", table=False),
    Column("operation", none="any"),
    Column("size", none="any"),
    Column("quality", none="any"),
    Column("price"),
    Column("from", none="-"),
    Column("in_force"),
]


@command(app, "list")
async def list_(call: Call) -> None:
    """Show the price book and which rows are in force now; models without a price too."""
    async with call.administration() as administration:
        _print(call.out, await administration.list_prices())


@command(app, "set")
async def set_(
    call: Call,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the catalog, or a new one.")],
    per_image: Money = None,
    per_million_input_text: Money = None,
    per_million_input_image: Money = None,
    per_million_output: Money = None,
    ceiling_per_image: Annotated[
        str | None, typer.Option(metavar="D", help="Held per image, and booked when the relay tells no tokens.")
    ] = None,
    operation: Annotated[Operation | None, typer.Option(help="Only for this operation.")] = None,
    size: Annotated[str | None, typer.Option(metavar="1024x1024", help="Only for this size.")] = None,
    quality: Annotated[str | None, typer.Option(metavar="high", help="Only for this quality.")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="2026-12-01", help="From the beginning of this day on, instead of now."),
    ] = None,
) -> None:
    """Price a model per image, or per token with a ceiling per image."""
    from app.control.prices import PriceEntry

    tokens = {
        "--per-million-input-text": per_million_input_text,
        "--per-million-input-image": per_million_input_image,
        "--per-million-output": per_million_output,
        "--ceiling-per-image": ceiling_per_image,
    }
    amount = _amount(per_image, tokens)
    wanted = PriceEntry(model, amount, operation.value if operation else None, size, quality, from_)
    async with call.administration() as administration:
        listed = await administration.set_price(wanted)
    call.out.json(_json(call.out, listed)) if call.out.is_json else _print(call.out, [listed])
    say(f"{model} is in the catalog for: {', '.join(listed.operations)}.") if not call.out.is_json else None


def _amount(per_image: str | None, tokens: dict[str, str | None]) -> "PerImage | PerToken":
    from app.core.pricing import PerImage, PerToken

    given = {name: text for name, text in tokens.items() if text is not None}
    if (per_image is None) == (not given):
        raise InvalidValue("Give a price: either --per-image, or the four per token: " + ", ".join(tokens) + ".")
    if per_image is not None:
        return PerImage(_micros(per_image, "--per-image"))
    if missing := [name for name, text in tokens.items() if text is None]:
        raise InvalidValue(f"A price per token needs all four of its amounts; missing: {', '.join(missing)}.")
    return PerToken(*(_micros(text, name) for name, text in given.items()))


def _micros(text: str, option: str) -> int:
    from app.core.money import micros

    try:
        return micros(text)
    except ValueError as exc:
        raise InvalidValue(f"{option}: {exc}.", param=option[2:].replace("-", "_")) from None


def _print(out: Output, listed: "Sequence[ListedPrice]") -> None:
    if out.is_json:
        out.json({"data": [_json(out, price) for price in listed]})
    else:
        out.rows(_PRICE, [_record(out, price) for price in listed])


def _record(out: Output, listed: "ListedPrice") -> dict[str, Any]:
    price = listed.price
    if price is None:
        empty = dict.fromkeys(("operation", "size", "quality"), "-")
        return {"model": listed.model, **empty, "price": "none yet", "from": None, "in_force": False}
    named = {"operation": price.operation, "size": price.size, "quality": price.quality}
    text = _text(out, price.amount)
    since = out.time(price.from_ms) if price.from_ms else "always"
    return {"model": listed.model, **named, "price": text, "from": since, "in_force": listed.in_force}


def _text(out: Output, amount: "PerImage | PerToken") -> str:
    from app.core.pricing import PerImage

    if isinstance(amount, PerImage):
        return f"{out.money(amount.micros)} per image"
    text, image, output = (
        out.money(micros) for micros in (amount.input_text_micros, amount.input_image_micros, amount.output_micros)
    )
    ceiling = out.money(amount.ceiling_micros_per_image)
    return f"per million tokens: text in {text}, image in {image}, out {output}; at most {ceiling} per image"


def _json(out: Output, listed: "ListedPrice") -> dict[str, Any]:
    """An unpriced model has null in every field of a price; a price per image has null in those per token."""
    from app.core.pricing import PerImage, PerToken

    price, amount = listed.price, listed.price.amount if listed.price else None
    tokens = amount if isinstance(amount, PerToken) else None
    return {
        "id": price.id if price else None,
        "model": listed.model,
        "operations": list(listed.operations),
        "operation": price.operation if price else None,
        "size": price.size if price else None,
        "quality": price.quality if price else None,
        "per_image_micros": amount.micros if isinstance(amount, PerImage) else None,
        "per_million_input_text_micros": tokens.input_text_micros if tokens else None,
        "per_million_input_image_micros": tokens.input_image_micros if tokens else None,
        "per_million_output_micros": tokens.output_micros if tokens else None,
        "ceiling_per_image_micros": tokens.ceiling_micros_per_image if tokens else None,
        "from": out.time(price.from_ms) if price and price.from_ms else None,
        "in_force": listed.in_force,
    }
