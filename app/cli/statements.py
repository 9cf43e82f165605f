"""imagegate statements: months, line by line beside the relay's bill, and closed for good."""

from typing import Annotated

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.language import translate
from app.cli.output import Column, say

app = typer.Typer(help="Months beside the relay's bill; a closed month keeps its numbers.")
Month = Annotated[str, typer.Argument(metavar="MONTH", help="A local month, like 2026-11.")]
Project = Annotated[str | None, typer.Option(metavar="P", help="One project: name or id; else all together.")]
_CLOSED = (
    Column("month"),
    Column("project", value=lambda row: row["project"] or translate("all together")),
    Column("closed_at", "time"),
    Column("closed_by"),
)
_LINES = (
    Column("day"),
    Column("model"),
    Column("requests", "number"),
    Column("images", "number"),
    Column("cost_micros", "money"),
    Column("later_micros", "money"),
    Column("billed_micros", "money", none="-"),
    Column("difference_micros", "money", none="-"),
)


@command(app, "list")
async def list_(ctx: ApiContext) -> None:
    """Show the closed months."""
    ctx.out.rows(_CLOSED, await ctx.client.get("statements"))


@command(app, "show")
async def show(ctx: ApiContext, month: Month, project: Project = None) -> None:
    """Show a month by day and model: frozen where it is closed, else what the book says now."""
    _print(ctx, await ctx.client.get("statements", month, project=project))


@command(app, "close")
async def close(ctx: ApiContext, month: Month, project: Project = None, yes: Yes = False) -> None:
    """Close a month for good. What is booked or corrected afterwards is told apart as later."""
    confirm(f"Close {month} for good?", yes=yes)
    _print(ctx, await ctx.client.post("statements", month=month, project=project))


def _print(ctx: ApiContext, found: dict[str, object]) -> None:
    if ctx.out.is_json:
        ctx.out.json(found)
        return
    total = {"day": translate("total"), "model": None, **found["total"]}  # type: ignore[dict-item]
    ctx.out.table(_LINES, [*found["lines"], total])  # type: ignore[misc]
    if found["closed"] is None:
        say("This is a draft: the month is not closed.")
