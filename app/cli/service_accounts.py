"""imagegate service-accounts: non-persons that hold keys in a project."""

from typing import Annotated

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields, say

app = typer.Typer(help="Non-persons that hold keys in a project; limits and reports count them as users.")
Project = Annotated[str, typer.Option(metavar="P", help="Their project: name or id.")]
_ACCOUNT = (
    Column("id"),
    Column("name"),
    Column("project_id"),
    Column("role", none="none"),
    Column("created_at_ms", "time"),
)


@command(app, "create")
async def create(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 visible characters, not taken in the project.")],
    project: Project = "default",
) -> None:
    """Make a service account and print its key: this once and never again."""
    async with call.administration() as administration:
        account, key = await administration.create_service_account(project, name)
    if call.out.is_json:
        call.out.json({**call.out.as_json(_ACCOUNT, fields(account)), "key_id": key.id, "key": key.key})
        return
    print(key.key)
    say(f"This is {key.id} of {account.id}. The line above is the secret: it is stored nowhere and never shown again.")


@command(app, "list")
async def list_(
    call: Call, project: Annotated[str | None, typer.Option(metavar="P", help="Only of this project.")] = None
) -> None:
    """Show the service accounts of all projects, or of one."""
    async with call.administration() as administration:
        accounts = await administration.list_service_accounts(project)
        call.out.rows(_ACCOUNT, [fields(account) for account in accounts])


@command(app, "delete")
async def delete(
    call: Call,
    account: Annotated[str, typer.Argument(metavar="ID", help="The service account's id.")],
    project: Project = "default",
) -> None:
    """Delete a service account and its keys for good; what it used stays in the book."""
    async with call.administration() as administration:
        call.out.one(_ACCOUNT, fields(await administration.delete_service_account(project, account)))
