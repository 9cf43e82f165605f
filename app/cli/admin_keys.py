"""imagegate admin-keys: keys for the administration API only."""

from typing import Annotated

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.output import Column

app = typer.Typer(help="Admin API keys: for /v1/organization, never for images.")
_KEY = (
    Column("id"),
    Column("name"),
    Column("role"),
    Column("owner.name", heading="owner_name"),
    Column("last_four", value=lambda key: key["redacted_value"][-4:]),
    Column("created_at", "time"),
    Column("expires_at", "time", none="never"),
)


@command(app, "create")
async def create(
    ctx: ApiContext,
    name: Annotated[str, typer.Option(metavar="N", help="What the key is for.")],
    role: Annotated[str, typer.Option(metavar="R", help="owner, or reader: looks at everything, changes nothing.")] = (
        "owner"
    ),
    user: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The user it belongs to: when they are disabled or deleted, it stops working. By default the owner of the calling "
            "admin key, and on the gateway's own machine nobody.",
        ),
    ] = None,
) -> None:
    """Make an admin key and print it: this once and never again."""
    created = await ctx.client.post("admin_api_keys", name=name, role=role, user_id=user)
    message = f"This is {created['id']}. The line above is the secret: it is stored nowhere and never shown again."
    ctx.out.secret(created, created["value"], message)


@command(app, "list")
async def list_(ctx: ApiContext) -> None:
    """Show all admin keys that are not revoked; never their secrets."""
    ctx.out.rows(_KEY, await ctx.client.every("admin_api_keys"))


@command(app, "revoke")
async def revoke(
    ctx: ApiContext, key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")], yes: Yes = False
) -> None:
    """Let an admin key never work again."""
    found = await ctx.client.get("admin_api_keys", key)
    confirm(f"Revoke the admin key {key} ({found['name']}) for good?", yes=yes)
    await ctx.client.delete("admin_api_keys", key)
    ctx.out.one(_KEY, found)
    ctx.out.note(f"The admin key {key} is revoked.")
