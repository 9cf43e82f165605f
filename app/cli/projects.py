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
    Column("archived_at_ms", "time", table=False),
)


@command(app, "create")
async def create(
    call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 visible characters, not taken yet.")]
) -> None:
    """Make a project."""
    from app.control import people

    async with call.database() as database:
        call.out.one(_PROJECT, fields(await people.create_project(database, name)))


@command(app, "list")
async def list_(call: Call) -> None:
    """Show all projects."""
    from app.control import people

    async with call.database() as database:
        call.out.rows(_PROJECT, [fields(project) for project in await people.list_projects(database)])
