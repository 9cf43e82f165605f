"""imagegate audit-log: changes with their author and time."""

from typing import Annotated

import typer

from app.cli.command import ApiContext, command
from app.cli.output import Column, Record

app = typer.Typer()
_CHANGE = (
    Column("effective_at", "time", "at"),
    Column("actor.name", heading="actor"),
    Column("event"),
    Column("target_id", value=lambda change: change[change["event"]]["id"]),
    Column("project", value=lambda change: change["project"]["name"] if "project" in change else None),
    Column("changed", value=lambda change: _changed(change)),
)


@command(app, "audit-log")
async def audit_log(
    ctx: ApiContext,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many, the newest first.")] = 20,
    event: Annotated[list[str] | None, typer.Option(metavar="E", help="Only such, like project.created.")] = None,
    target: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only changes of this.")] = None,
) -> None:
    """Show who changed what through the API or the command line."""
    query = {"event_types": event or [], "resource_ids": target or []}
    ctx.out.rows(_CHANGE, await ctx.client.every("audit_logs", count=limit, **query))


def _changed(change: Record) -> str:
    before, after = change["before"] or {}, change["after"]
    if after is None:
        return ""
    names = [name for name in after if before.get(name) != after[name]]
    return ", ".join(
        f"{name}: {before[name]} -> {after[name]}" if before else f"{name}: {after[name]}" for name in names
    )
