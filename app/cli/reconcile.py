"""imagegate reconcile: comparison of our book with the relay's accounts."""

from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.command import ApiContext, check_relay, command
from app.cli.language import translate
from app.cli.output import Column, Output, Record, say

app = typer.Typer()
_RELAY = Column("relay")
_STEPS = (
    Column("request_id"),
    Column("model"),
    Column("action"),
    Column("cost_micros", "money"),
    Column("billed_micros", "money"),
    Column("reason", value=lambda step: translate(step["reason"])),
)
_OPEN = (
    Column("request_id"),
    Column("model"),
    Column("created_at", "time", "reserved_at"),
    Column("quote_micros", "money"),
    Column("why", value=lambda request: translate(request["why"])),
)
_DAYS = (
    Column("day"),
    Column("booked_micros", "money"),
    Column("billed_micros", "money"),
    Column("closed"),
    Column("is_over", heading="more than 1 % apart"),
)


@command(app, "reconcile")
async def reconcile(
    ctx: ApiContext,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
) -> None:
    """Compare the book with each relay's own accounts: end unknown requests and correct short ones where the relay's log proves
    it, measure the drift by day, and show what was done and what stays open. The gateway does the same in the background."""
    check_relay(ctx.target, "which reconciles with it by itself")
    report = await ctx.client.post("reconcile", dry_run=dry_run)
    if ctx.out.is_json:
        ctx.out.json(report)
        return
    for missing in report["relay"]["missing"]:
        say(f"imagegate: the relay's account {missing}")
    several = (_RELAY,) if len(report["relays"]) > 1 else ()
    _print(ctx.out, (*several, *_STEPS), "would be done" if report["dry_run"] else "done", report["done"])
    _print(ctx.out, (*several, *_OPEN), "still open", report["open"])
    _print(ctx.out, (*several, *_DAYS), "by day", report["days"])
    if report["open"]:
        decide = ctx.target.command("requests settle ID --reason WHY")
        say(f"imagegate: what stays open is yours to decide: {decide} (or release, or write-off).")


def _print(out: Output, columns: Sequence[Column], title: str, records: Sequence[Record]) -> None:
    say(f"imagegate: {title}: {len(records) or 'nothing'}")
    if records:
        out.table(columns, records)
