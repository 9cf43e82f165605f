"""imagegate prices list, set and remove: prices of models, from a date on."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.language import translate
from app.cli.output import Column, Output, Record, say
from app.errors import InvalidValue

app = typer.Typer(help="What models cost, from a date on. A priced model is in the catalog.")


class Operation(StrEnum):
    generation = "generation"
    edit = "edit"
    variation = "variation"


Money = Annotated[str | None, typer.Option(metavar="0.08", help="An amount of money.")]
_PRICE = (
    Column("id", none="-"),
    Column("model"),
    Column("operation", none="any"),
    Column("size", none="any"),
    Column("quality", none="any"),
    Column("price"),
    Column("from", none="-"),
    Column("removed", "time", none="-"),
    Column("in_force"),
)


@command(app, "list")
async def list_(ctx: ApiContext) -> None:
    """Show the price book and which rows are in force now; models without a price too."""
    found = await ctx.client.every("prices")
    if ctx.out.is_json:
        ctx.out.json(found)
        return
    catalog = (await ctx.client.get("models"))["data"]
    rows = [row for model in catalog for row in _rows(ctx.out, model["id"], found["data"])]
    ctx.out.table(_PRICE, rows)


@command(app, "set")
async def set_(
    ctx: ApiContext,
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
    tokens = {
        "per_million_input_text": per_million_input_text,
        "per_million_input_image": per_million_input_image,
        "per_million_output": per_million_output,
        "ceiling_per_image": ceiling_per_image,
    }
    named = {"model": model, "operation": operation, "size": size, "quality": quality, "from": from_}
    price = await ctx.client.post("prices", **named, **_amounts(per_image, tokens))
    if ctx.out.is_json:
        ctx.out.json(price)
        return
    ctx.out.table(_PRICE, [_row(ctx.out, price)])
    with ctx.client.after("The price is set"):
        catalog = {each["id"]: each["operations"] for each in (await ctx.client.get("models"))["data"]}
        operations = [operation for operation in Operation if operation in catalog[model]]
        say(f"{model} is in the catalog for: {', '.join(operations)}.")


@command(app, "remove")
async def remove(
    ctx: ApiContext,
    price: Annotated[str, typer.Argument(metavar="ID", help="The price's id, like price_7, from `prices list`.")],
    yes: Yes = False,
) -> None:
    """End a mistyped price now; the one that it replaced is in force again. What was booked stays booked."""
    confirm(f"End the price {price} now?", yes=yes)
    ended = await ctx.client.delete("prices", price)
    if ctx.out.is_json:
        ctx.out.json(ended)
    else:
        ctx.out.table(_PRICE, [_row(ctx.out, ended)])


def _amounts(per_image: str | None, tokens: dict[str, str | None]) -> dict[str, int]:
    """Make the price in the API's form, in micros."""
    given = {name: text for name, text in tokens.items() if text is not None}
    options = ["--" + name.replace("_", "-") for name in tokens]
    if (per_image is None) == (not given):
        raise InvalidValue(f"Give a price: either --per-image, or the four per token: {', '.join(options)}.")
    if per_image is not None:
        return {"per_image_micros": micros_of(per_image, "per_image")}
    if missing := [option for option, name in zip(options, tokens, strict=True) if name not in given]:
        raise InvalidValue(f"A price per token needs all four of its amounts; missing: {', '.join(missing)}.")
    return {f"{name}_micros": micros_of(text, name) for name, text in given.items()}


def micros_of(text: str, param: str) -> int:
    """Parse an amount of money. Raises InvalidValue, which names the option."""
    from app.core.money import micros

    try:
        return micros(text)
    except ValueError as exc:
        raise InvalidValue(f"--{param.replace('_', '-')}: {exc}.", param=param) from None


def _rows(out: Output, model: str, prices: list[Record]) -> list[dict[str, Any]]:
    """Return the rows of one model; for a model without a price, one row that says so."""
    unpriced = dict.fromkeys(("operation", "size", "quality"), "-")
    empty = dict.fromkeys(("id", "from", "removed"))
    none = {**empty, "model": model, **unpriced, "price": translate("none yet"), "in_force": False}
    return [_row(out, price) for price in prices if price["model"] == model] or [none]


def _row(out: Output, price: Record) -> dict[str, Any]:
    since = out.time(price["starts_at"]) if price["starts_at"] else translate("always")
    return {**price, "price": _price_text(out, price), "from": since, "removed": price["ends_at"]}


def _price_text(out: Output, price: Record) -> str:
    if price["per_image_micros"] is not None:
        return translate(f"{out.money(price['per_image_micros'])} per image")
    text, image, output = (
        out.money(price[f"per_million_{kind}_micros"]) for kind in ("input_text", "input_image", "output")
    )
    ceiling = out.money(price["ceiling_per_image_micros"])
    return translate(f"per million tokens: text in {text}, image in {image}, out {output}; at most {ceiling} per image")
