"""imagegate service-accounts: users that are programs and hold keys in a project."""

from typing import Annotated

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.output import Column

app = typer.Typer(help="Non-persons that hold keys in a project; limits and reports count them as users.")
Project = Annotated[str, typer.Option(metavar="P", help="Their project: name or id.")]
_ACCOUNT = (Column("id"), Column("name"), Column("project_id"), Column("role"), Column("created_at", "time"))


@command(app, "create")
async def create(
    ctx: ApiContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 visible characters, not taken in the project.")],
    project: Project = "default",
) -> None:
    """Make a service account and print its key: this once and never again."""
    found = await ctx.client.get("projects", project)
    account = await ctx.client.post("projects", found["id"], "service_accounts", name=name)
    key = account["api_key"]
    message = f"This is {key['id']} of {account['id']}. The line above is the secret: it is stored nowhere and never shown again."
    ctx.out.secret({**account, "key_id": key["id"]}, key["value"], message)


@command(app, "list")
async def list_(
    ctx: ApiContext, project: Annotated[str | None, typer.Option(metavar="P", help="Only of this project.")] = None
) -> None:
    """Show the service accounts of all projects, or of one."""
    ctx.out.rows(_ACCOUNT, await ctx.client.every("service_accounts", project=project))


@command(app, "delete")
async def delete(
    ctx: ApiContext,
    account: Annotated[str, typer.Argument(metavar="NAME", help="Name or id.")],
    project: Project = "default",
    yes: Yes = False,
) -> None:
    """Delete a service account and its keys for good; what it used stays in the book."""
    project_id = (await ctx.client.get("projects", project))["id"]
    path = ("projects", project_id, "service_accounts")
    found = await ctx.client.get(*path, account)
    confirm(f"Delete the service account {found['name']} and all its keys for good?", yes=yes)
    await ctx.client.delete(*path, found["id"])
    ctx.out.one(_ACCOUNT, {**found, "project_id": project_id})
    ctx.out.note(f"The service account {found['name']} is deleted.")
