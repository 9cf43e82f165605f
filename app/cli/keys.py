"""imagegate keys: secrets that act for a user in a project."""

from typing import Annotated

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields, say

app = typer.Typer(help="API keys: made once, shown once, revoked for good.")
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, like key_ and 12 characters.")]
_KEY = (
    Column("id"),
    Column("name"),
    Column("user"),
    Column("user_id", table=False),
    Column("project"),
    Column("project_id", table=False),
    Column("last_four"),
    Column("models", none="all", empty="none (read-only)"),
    Column("status"),
    Column("created_at_ms", "time"),
    Column("expires_at_ms", "time", none="never"),
    Column("revoked_at_ms", "time"),
    Column("last_used_at_ms", "time", table=False),
)


@command(app, "create")
async def create(
    call: Call,
    user: Annotated[str, typer.Option(metavar="NAME", help="Whose key it is: name or id.")],
    project: Annotated[str, typer.Option(metavar="NAME", help="Name or id.")] = "default",
    name: Annotated[
        str | None, typer.Option(metavar="N", help="What the key is for; the user's name by default.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="90d", help="From now, in days or hours (90d, 12h), or when a day begins (2026-12-31)."),
    ] = None,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Only these models of the catalog.")] = None,
) -> None:
    """Make a key and print it: this once and never again."""
    from app.control.keys import NewApiKey

    wanted = NewApiKey(user, project, name, None if models is None else _split(models), expires)
    async with call.administration() as administration:
        created = await administration.create_key(wanted)
    if call.out.is_json:
        call.out.json({"id": created.id, "key": created.key})
        return
    print(created.key)
    say(f"This is {created.id}. The line above is the secret: it is stored nowhere and never shown again.")


@command(app, "list")
async def list_(call: Call) -> None:
    """Show all keys, newest first; never their secrets."""
    async with call.administration() as administration:
        call.out.rows(_KEY, [fields(key) for key in await administration.list_keys()])


@command(app, "show")
async def show(call: Call, key: KeyId) -> None:
    """Show one key; never its secret."""
    async with call.administration() as administration:
        call.out.one(_KEY, fields(await administration.show_key(key)))


@command(app, "revoke")
async def revoke(call: Call, key: KeyId) -> None:
    """Let a key never work again."""
    async with call.administration() as administration:
        call.out.one(_KEY, fields(await administration.revoke_key(key)))


@command(app, "rotate")
async def rotate(
    call: Call,
    key: KeyId,
    grace: Annotated[str, typer.Option(metavar="24h", help="How long the old secret goes on: 24h, 7d, 0h.")] = "24h",
) -> None:
    """Give a key a new secret and print it: this once and never again. Its limits and its history go on."""
    from app.control.dates import duration_s

    async with call.administration() as administration:
        rotated = await administration.rotate_key(key, duration_s(grace, "grace"))
    if call.out.is_json:
        call.out.json({"id": rotated.id, "key": rotated.key})
        return
    print(rotated.key)
    say(f"The line above is the new secret of {rotated.id}, never shown again. The old one works for {grace} more.")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
