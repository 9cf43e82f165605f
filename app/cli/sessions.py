"""imagegate sessions: who is signed in to the console."""

from typing import Annotated

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.output import Column

app = typer.Typer(help="Who is signed in to the console.")
_SESSION = (
    Column("id"),
    Column("user_name", heading="user"),
    Column("role"),
    Column("created_at", "time"),
    Column("last_seen_at", "time"),
    Column("browser"),
)


@command(app, "list")
async def list_(
    ctx: ApiContext,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this person: name or id.")] = None,
) -> None:
    """Show all sessions that can be used."""
    ctx.out.rows(_SESSION, await ctx.client.every("sessions", user_id=user))


@command(app, "revoke")
async def revoke(
    ctx: ApiContext,
    session: Annotated[str, typer.Argument(metavar="ID", help="The session's id, like sess_ and 24 characters.")],
    yes: Yes = False,
) -> None:
    """End a session: that browser has to sign in again."""
    confirm(f"End the session {session}?", yes=yes)
    ctx.out.done(await ctx.client.delete("sessions", session), f"The session {session} is ended.")
