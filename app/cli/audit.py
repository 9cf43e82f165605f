"""imagegate audit: whether the caches of the book say what the book says."""

import typer

from app.cli.command import FAILED, Call, command
from app.cli.output import Column, fields, say

app = typer.Typer()
_DIFFERENCES = [
    Column("kind"),
    Column("where"),
    Column("what"),
    Column("expected", "number"),
    Column("found", "number"),
]


@command(app, "audit", here_only=True)
async def audit(call: Call) -> None:
    """Recompute every counter and every row of the usage roll-up from requests and corrections. Changes nothing; exits with 1
    on any difference and names it. Amounts of money are in micros."""
    from app.control.audit import audit

    async with call.database() as database:
        found = await audit(database, call.home.settings.zone)
    records = [fields(difference) for difference in found.differences]
    if call.out.is_json or records:
        call.out.rows(_DIFFERENCES, records, clean=not records, looked_at=found.looked_at)
    if not call.out.is_json:
        looked_at = ", ".join(f"{count} {name}" for name, count in found.looked_at.items())
        say(f"imagegate: {'clean' if not records else f'{len(records)} differences'} ({looked_at}).")
    if records:
        raise typer.Exit(FAILED)
