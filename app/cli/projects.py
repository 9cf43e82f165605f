"""imagegate projects: teams and cost centres."""

from typing import Annotated

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.output import Column

app = typer.Typer(help="Teams and cost centres; every key belongs to one.")
_PROJECT = (
    Column("id"),
    Column("name"),
    Column("created_at", "time"),
    Column("archived_at", "time"),
)


@command(app, "create")
async def create(
    ctx: ApiContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 visible characters, not taken yet.")],
) -> None:
    """Make a project."""
    ctx.out.one(_PROJECT, await ctx.client.post("projects", name=name))


@command(app, "list")
async def list_(ctx: ApiContext) -> None:
    """Show all projects."""
    ctx.out.rows(_PROJECT, await ctx.client.every("projects", include_archived=True))


@command(app, "archive")
async def archive(
    ctx: ApiContext, project: Annotated[str, typer.Argument(metavar="NAME", help="Name or id.")], yes: Yes = False
) -> None:
    """Let none of a project's keys buy any more, for good; its past stays in every report."""
    confirm(f"Archive the project {project} and stop all its keys for good?", yes=yes)
    ctx.out.one(_PROJECT, await ctx.client.post("projects", project, "archive"))
