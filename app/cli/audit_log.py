"""imagegate audit-log: who changed what, and when."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.command import Call, command
from app.cli.output import Column

if TYPE_CHECKING:
    from app.store.audit_logs import LoggedChange

app = typer.Typer()
_CHANGE = (
    Column("at_ms", "time"),
    Column("actor"),
    Column("event"),
    Column("target_id"),
    Column("project"),
    Column("changed"),
    Column("id", table=False),
    Column("actor_kind", table=False),
    Column("actor_id", table=False),
    Column("project_id", table=False),
    Column("before", table=False),
    Column("after", table=False),
)


@command(app, "audit-log")
async def audit_log(
    call: Call,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many, the newest first.")] = 20,
    event: Annotated[list[str] | None, typer.Option(metavar="E", help="Only such, like project.created.")] = None,
    target: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only changes of this.")] = None,
) -> None:
    """Show who changed what through the API, the command line or the console."""
    async with call.administration() as administration:
        changes = await administration.changes(limit, event or (), target or ())
    call.out.rows(_CHANGE, [_record(change) for change in changes])


def _record(change: "LoggedChange") -> dict[str, Any]:
    names = ("id", "at_ms", "event", "target_id", "project_id", "project", "before", "after")
    actor = {"actor": change.actor.name, "actor_kind": change.actor.kind, "actor_id": change.actor.id}
    return {**{name: getattr(change, name) for name in names}, **actor, "changed": _changed(change)}


def _changed(change: "LoggedChange") -> str:
    if change.after is None:
        return ""
    before, after = change.before or {}, change.after
    both = [name for name in after if before.get(name) != after[name]]
    return ", ".join(
        f"{name}: {before[name]} -> {after[name]}" if before else f"{name}: {after[name]}" for name in both
    )
