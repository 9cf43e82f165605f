"""imagegate projects: teams and cost centres."""

from typing import Annotated

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields

app = typer.Typer(help="Teams and cost centres; every key belongs to one.")
_PROJECT = (
    Column("id"),
    Column("name"),
    Column("created_at_ms", "time"),
    Column("archived_at_ms", "time"),
)


@command(app, "create")
async def create(
    call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 visible characters, not taken yet.")]
) -> None:
    """Make a project."""
    async with call.administration() as administration:
        call.out.one(_PROJECT, fields(await administration.create_project(name)))


@command(app, "list")
async def list_(call: Call) -> None:
    """Show all projects."""
    async with call.administration() as administration:
        call.out.rows(_PROJECT, [fields(project) for project in await administration.list_projects()])


@command(app, "archive")
async def archive(call: Call, project: Annotated[str, typer.Argument(metavar="NAME", help="Name or id.")]) -> None:
    """Let none of a project's keys buy any more, for good; its past stays in every report."""
    async with call.administration() as administration:
        call.out.one(_PROJECT, fields(await administration.archive_project(project)))
