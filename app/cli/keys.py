"""imagegate keys: secrets that act for a user in a project."""

import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from app.cli.command import ApiContext, Yes, command, confirm, moment_s
from app.cli.output import Column, Record
from app.errors import Conflict, InvalidValue

app = typer.Typer(help="API keys: made once, shown once, revoked for good.")
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, like key_ and 12 characters.")]
_KEY = (
    Column("id"),
    Column("name"),
    Column("user", value=lambda key: _owner(key)["name"]),
    Column("project.name", heading="project"),
    Column("last_four", value=lambda key: key["redacted_value"][-4:]),
    Column("models", none="all", empty="none (read-only)"),
    Column("status"),
    Column("created_at", "time"),
    Column("last_used_at", "time", none="never"),
    Column("expires_at", "time", none="never"),
    Column("revoked_at", "time"),
)


@command(app, "create")
async def create(
    ctx: ApiContext,
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
    fields: dict[str, Any] = {
        "user_id": user,
        "name": name,
        "models": None if models is None else [part.strip() for part in models.split(",") if part.strip()],
        "expires_in_seconds": None if expires is None else _seconds_until(expires, ctx.out.zone),
    }
    created = await ctx.client.post("projects", project, "api_keys", **fields)
    message = f"This is {created['id']}. The line above is the secret: it is stored nowhere and never shown again."
    ctx.out.secret(created, created["value"], message)


@command(app, "list")
async def list_(
    ctx: ApiContext,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only keys of this owner: name or id.")] = None,
    project: Annotated[str | None, typer.Option(metavar="P", help="Only keys of this project: name or id.")] = None,
    status: Annotated[str | None, typer.Option(metavar="S", help="Only keys with this status, such as active.")] = None,
    unused_since: Annotated[
        str | None,
        typer.Option(metavar="2026-12-01", help="Only keys that were there then and have not been used since."),
    ] = None,
) -> None:
    """Show all keys, newest first; never their secrets."""
    since_s = None if unused_since is None else moment_s(ctx, unused_since, "unused_since")
    query: dict[str, Any] = {"user": user, "project": project, "status": status, "unused_since": since_s}
    ctx.out.rows(_KEY, await ctx.client.every("api_keys", **query))


@command(app, "show")
async def show(ctx: ApiContext, key: KeyId) -> None:
    """Show one key; never its secret."""
    ctx.out.one(_KEY, await ctx.client.get("api_keys", key))


@command(app, "revoke")
async def revoke(ctx: ApiContext, key: KeyId, yes: Yes = False) -> None:
    """Let a key never work again."""
    found = await ctx.client.get("api_keys", key)
    if found["revoked_at"] is None:
        confirm(f"Revoke the key {_described(found)} for good?", yes=yes)
        await ctx.client.delete("projects", found["project"]["id"], "api_keys", found["id"])
        with ctx.client.after(f"The key {found['id']} is revoked"):
            found = await ctx.client.get("api_keys", found["id"])
    ctx.out.one(_KEY, found)


@command(app, "rename")
async def rename(ctx: ApiContext, key: KeyId, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Give a key another name."""
    await _change(ctx, key, name=name)


@command(app, "extend")
async def extend(
    ctx: ApiContext,
    key: KeyId,
    expires: Annotated[
        str,
        typer.Option(metavar="90d", help="From now, in days or hours (90d, 12h), or when a day begins (2099-12-31)."),
    ],
) -> None:
    """Let a key expire at another time, later or earlier."""
    await _change(ctx, key, expires_in_seconds=_seconds_until(expires, ctx.out.zone))


@command(app, "move")
async def move(
    ctx: ApiContext,
    key: KeyId,
    project: Annotated[str | None, typer.Option(metavar="P", help="To this project: name or id.")] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="To this owner: a user's name or id, a service account's id.")
    ] = None,
) -> None:
    """Move a key to another project, another owner or both. Its secret and its own limits stay; what it has used stays booked
    where it was."""
    found = await ctx.client.get("api_keys", key)
    path = ("projects", found["project"]["id"], "api_keys", found["id"], "move")
    ctx.out.one(_KEY, await ctx.client.post(*path, project_id=project, user_id=user))


@command(app, "rotate")
async def rotate(
    ctx: ApiContext,
    key: KeyId,
    leaked: Annotated[bool, typer.Option("--leaked", help="The old secret stops at once.")] = False,
    grace: Annotated[
        str | None, typer.Option(metavar="24h", help="How long the old secret goes on, at most 30 days: 24h, 7d.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Give a key a new secret and print it: this once and never again. Its limits and its history go on."""
    from app.control.dates import duration_s

    if leaked == (grace is not None):
        message = "Give one of the two: --leaked stops the old secret at once, --grace 24h lets it work for that long."
        raise InvalidValue(message, param="grace")
    grace_s = None if grace is None else duration_s(grace, "grace")
    found = await ctx.client.get("api_keys", key)
    if found["revoked_at"] is not None:  # Its project does not list it any more.
        raise Conflict(f"The key {found['id']} is revoked; make a new one.", param="key")
    if leaked:
        confirm(f"Stop the secret of the key {_described(found)} at once?", yes=yes)
    path = ("projects", found["project"]["id"], "api_keys", found["id"], "rotate")
    rotated = await ctx.client.post(*path, leaked=leaked, grace_period_seconds=grace_s)
    old = "has stopped working" if grace is None else f"works for {grace} more"
    message = f"The line above is the new secret of {rotated['id']}, never shown again. The old one {old}."
    ctx.out.secret(rotated, rotated["value"], message)


async def _change(ctx: ApiContext, key: str, **fields: Any) -> None:
    found = await ctx.client.get("api_keys", key)
    await ctx.client.post("projects", found["project"]["id"], "api_keys", found["id"], **fields)
    with ctx.client.after(f"The key {found['id']} is changed"):
        ctx.out.one(_KEY, await ctx.client.get("api_keys", found["id"]))


def _owner(key: Record) -> Record:
    """Return the user or service account that a key belongs to."""
    owner: Record = key["owner"][key["owner"]["type"]]
    return owner


def _described(key: Record) -> str:
    return f"{key['id']} ({key['name']}; {_owner(key)['name']}, {key['project']['name']})"


def _seconds_until(expires: str, zone: ZoneInfo) -> int:
    """Return the seconds from now, rounded up, by this machine's clock."""
    from app.control.dates import expiry_ms

    now_ms = int(time.time() * 1000)
    return -(-(expiry_ms(expires, now_ms, zone) - now_ms) // 1000)
