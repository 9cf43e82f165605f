"""imagegate usage: usage and its cost."""

from typing import Annotated

import typer

from app.cli.command import ApiContext, command
from app.cli.language import translate
from app.cli.output import Column, Format

app = typer.Typer()
_WITH_IDS = ("project", "user", "key")
_SUMS = (
    Column("requests", "number"),
    Column("images", "number"),
    Column("cost_micros", "money"),
    Column("input_tokens", "number"),
    Column("output_tokens", "number"),
)
_DUPLICATES = (
    Column("duplicates", "number"),
    Column("duplicates_micros", "money", "duplicates_cost"),
    Column("duplicates_served", "number"),
)


@command(app, "usage", csv=True)
async def usage(
    ctx: ApiContext,
    since: Annotated[
        str | None, typer.Option(metavar="D", help="The first day of the report, like 2026-12-01 or yesterday.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="D", help="The first day after the report.")] = None,
    by: Annotated[
        str, typer.Option(metavar="A,B", help="Any of model,user,project,key,day,operation,size,quality.")
    ] = "model",
) -> None:
    """Show what was used and what it cost."""
    from app.control.dates import named_day

    days = {
        name: named_day(text, ctx.out.zone) if text else text for name, text in (("since", since), ("until", until))
    }
    report = await ctx.client.get("usage", "report", by=by, **days)
    if ctx.out.is_json:
        ctx.out.json(report)
        return
    names, rows = report["by"], report["data"]
    if ctx.out.format is Format.csv:
        with_ids = [each for name in names for each in ((name, f"{name}_id") if name in _WITH_IDS else (name,))]
        ctx.out.csv([*map(Column, with_ids), *_SUMS, *_DUPLICATES], rows)
        return
    # A key is known by its id: names of keys need not be unique.
    columns = [Column(each) for name in names for each in (("key", "key_id") if name == "key" else (name,))]
    total = (
        [{**{column.field: None for column in columns}, names[0]: translate("total"), **report["total"]}]
        if names
        else []
    )
    has_duplicates = any(report["total"][column.field] for column in _DUPLICATES)
    ctx.out.table([*columns, *_SUMS, *(_DUPLICATES if has_duplicates else ())], [*rows, *total])
