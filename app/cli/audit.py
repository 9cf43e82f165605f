"""imagegate audit: comparison of counters and usage with the book, and of kept pictures with their files."""

import typer

from app.cli.command import FAILED, ApiContext, command
from app.cli.language import translate
from app.cli.output import Column, say

app = typer.Typer()
_DIFFERENCES = (
    Column("kind"),
    Column("where"),
    Column("what"),
    Column("expected", "number"),
    Column("found", "number"),
)


@command(app, "audit")
async def audit(ctx: ApiContext) -> None:
    """Recompute every counter and every row of the usage roll-up from requests and corrections, and compare the kept pictures with
    their files. Changes nothing; exits with 1 on any difference and names it. Amounts of money are in micros."""
    found = await ctx.client.get("audit")
    differences = found["differences"]
    if ctx.out.is_json:
        ctx.out.json(found)
    else:
        if differences:
            ctx.out.table(_DIFFERENCES, differences)
        looked_at = ", ".join(f"{translate(name)}: {count}" for name, count in found["looked_at"].items())
        found_words = f"{len(differences)} differences" if differences else "clean"
        say(f"imagegate: {found_words} ({looked_at}).")
        if number := found["pictures"]["link_only"]:
            say(f"imagegate: {number} pictures were never kept: the relay's link was all there was.")
    if differences:
        raise typer.Exit(FAILED)
