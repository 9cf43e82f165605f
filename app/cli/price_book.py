"""imagegate prices import, export, check and sync: the price book as a whole."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.command import FAILED, ApiContext, check_relay, command, read_file
from app.cli.output import Column, Record, say
from app.cli.prices import app, micros_of

__all__ = ["app"]


class DocumentFormat(StrEnum):
    yaml = "yaml"
    json = "json"


_STEP = (
    Column("model"),
    Column("operation", none="any"),
    Column("size", none="any"),
    Column("quality", none="any"),
    Column("was", value=lambda step: _amounts(step["was"]), none="none"),
    Column("becomes", value=lambda step: _amounts(step["becomes"])),
    Column("from", none="now"),
)
File = Annotated[str, typer.Argument(metavar="FILE", help="YAML or, with a name ending in .json, JSON; - is stdin.")]


@command(app, "export")
async def export(
    ctx: ApiContext,
    as_: Annotated[DocumentFormat | None, typer.Option("--as", help="yaml, or json (also with --json).")] = None,
) -> None:
    """Print the whole book, its past and its future, as a document that can be imported again."""
    format = as_ or (DocumentFormat.json if ctx.out.is_json else DocumentFormat.yaml)
    print(await ctx.client.text("prices", "export", format=format.value), end="")


@command(app, "import")
async def import_(ctx: ApiContext, file: File) -> None:
    """Set what of a file is not in the book yet: all of it or, when anything in it is wrong, nothing."""
    _print(ctx, await _import(ctx, file, dry_run=False))


@command(app, "check")
async def check(ctx: ApiContext, file: File) -> None:
    """Say what importing a file would set, and change nothing; exits with 1 when it would set anything."""
    found = await _import(ctx, file, dry_run=True)
    _print(ctx, found)
    if found["set"]:
        raise typer.Exit(FAILED)


@command(app, "sync")
async def sync(
    ctx: ApiContext,
    apply: Annotated[bool, typer.Option("--apply", help="Set the prices that differ, from now on.")] = False,
    model: Annotated[
        list[str] | None, typer.Option(metavar="M", help="Also this model of the relay's; may be repeated.")
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Only those of --model, and not the catalog.")] = False,
    group: Annotated[str, typer.Option(metavar="G", help="The group of the relay that your key is in.")] = "default",
    relay: Annotated[
        str, typer.Option(metavar="NAME", help="The relay whose prices are compared, divided by its price factor.")
    ] = "default",
    ceiling_per_image: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="Held per image of models that the relay prices by tokens and that have none yet."
        ),
    ] = None,
) -> None:
    """Compare the book with the prices the relay tells, and show what differs. What a dollar of the relay's costs you is
    UPSTREAM_DOLLAR_MICROS."""
    check_relay(ctx.target, "there are no prices to ask for")
    fields = {"apply": apply, "models": model or [], "only": only, "group": group, "relay": relay}
    if ceiling_per_image is not None:
        fields["ceiling_per_image_micros"] = micros_of(ceiling_per_image, "ceiling_per_image")
    found = await ctx.client.post("prices", "sync", **fields)
    _print(ctx, found)
    if found["set"] and not apply:
        ctx.out.note(f"imagegate: nothing is set yet; `{ctx.target.command('prices sync --apply')}` does it.")


async def _import(ctx: ApiContext, file: str, *, dry_run: bool) -> dict[str, Any]:
    text = read_file(file)
    content_type = "application/json" if file.endswith(".json") else "application/yaml"
    return await ctx.client.send_text(text, content_type, "prices", "import", dry_run=dry_run)


def _print(ctx: ApiContext, found: dict[str, Any]) -> None:
    if ctx.out.is_json:
        ctx.out.json(found)
        return
    for note in found["notes"]:
        say(f"imagegate: {note}")
    if found["set"]:
        ctx.out.table(_STEP, found["set"])
    past = f", {found['past']} are past and left out" if found["past"] else ""
    done = "would be set" if found["dry_run"] else "set"
    say(f"imagegate: {len(found['set'])} {done}, {found['unchanged']} are in the book already{past}.")


def _amounts(amounts: Record | None) -> str | None:
    """Format a price: the one per image alone, otherwise each amount with its name."""
    from app.core.money import decimal_text

    if amounts is None:
        return None
    given = {name.removesuffix("_micros"): decimal_text(value) for name, value in amounts.items() if value is not None}
    return given.get("per_image") or ", ".join(f"{name} {value}" for name, value in given.items())
