"""imagegate admin-keys: secrets for the administration API, and for nothing else."""

from typing import Annotated

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields, say

app = typer.Typer(help="Admin API keys: for /v1/organization, never for images.")
_KEY = (
    Column("id"),
    Column("name"),
    Column("role"),
    Column("owner_name"),
    Column("user_id", table=False),
    Column("last_four"),
    Column("created_at_ms", "time"),
    Column("expires_at_ms", "time", none="never"),
    Column("revoked_at_ms", "time", table=False),
)


@command(app, "create")
async def create(
    call: Call,
    name: Annotated[str, typer.Option(metavar="N", help="What the key is for.")],
    role: Annotated[str, typer.Option(metavar="R", help="owner, or reader: looks at everything, changes nothing.")] = (
        "owner"
    ),
    user: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Whose it is: it stops working with them. With --url, by default whose the calling key is; here nobody's.",
        ),
    ] = None,
) -> None:
    """Make an admin key and print it: this once and never again."""
    from app.control.admin_keys import NewAdminKey

    async with call.administration() as administration:
        created = await administration.create_admin_key(NewAdminKey(name, role, user))
    if call.out.is_json:
        call.out.json({"id": created.id, "key": created.key})
        return
    print(created.key)
    say(f"This is {created.id}. The line above is the secret: it is stored nowhere and never shown again.")


@command(app, "list")
async def list_(call: Call) -> None:
    """Show all admin keys that are not revoked; never their secrets."""
    async with call.administration() as administration:
        call.out.rows(_KEY, [fields(key) for key in await administration.list_admin_keys()])


@command(app, "revoke")
async def revoke(call: Call, key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]) -> None:
    """Let an admin key never work again."""
    async with call.administration() as administration:
        call.out.one(_KEY, fields(await administration.revoke_admin_key(key)))
