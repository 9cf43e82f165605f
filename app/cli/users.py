"""imagegate users: people who may hold keys."""

import shlex
from typing import Annotated

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.output import Column, say

app = typer.Typer(help="People who may hold keys.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id.")]
_ERASED = (
    Column("user_id"),
    Column("name"),
    Column("pseudonym"),
    Column("status"),
    Column("requests", "number"),
    Column("open_requests", "number"),
    Column("answers", "number"),
    Column("pictures", "number"),
    Column("picture_bytes", "number"),
    Column("keys", "number"),
)
_USER = (
    Column("id"),
    Column("name"),
    Column("email"),
    Column("access_role"),
    Column("added_at", "time", "created_at"),
    Column("user.banned_at", "time", "disabled_at"),
)


@command(app, "create")
async def create(
    ctx: ApiContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 visible characters, nobody else's.")],
    email: Annotated[str | None, typer.Option(metavar="E", help="Where to reach them.")] = None,
) -> None:
    """Make a user, without a key and with no limits but the defaults."""
    user = await ctx.client.post("users", name=name, email=email)
    ctx.out.one(_USER, user)
    if not ctx.out.is_json:
        quoted, command = shlex.quote(user["name"]), ctx.target.command
        with ctx.client.after(f"The user {user['name']} is made"):
            limited = (await ctx.client.get("limits", scope="user", scope_id=user["id"]))["data"]
        if limited:
            say(f"The default limits hold for this user. {command(f'limits show --user {quoted}')}")
        else:
            say(
                f"No limit holds for this user yet. {command(f'limits set --user {quoted} --spend 20 --spend-per month')}"
            )
        say(f"A key: {command(f'keys create --user {quoted}')}")


@command(app, "invite")
async def invite(
    ctx: ApiContext,
    mail: Annotated[str, typer.Argument(metavar="MAIL", help="Address to sign in with.")],
    role: Annotated[
        str | None,
        typer.Option(metavar="R", help="owner, reader or member (sees their own); somebody new is a member."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A user without an address, who gets this one; or the name of somebody new."),
    ] = None,
) -> None:
    """Print a link that lets a person set a password and sign in: once, within 72 hours. Mails it, too, where mail is set."""
    invited = await ctx.client.post("invites", email=mail, role=role, name=name)
    if ctx.out.is_json:
        ctx.out.json(invited)
        return
    print(invited["url"])
    if invited.get("is_new_user"):
        say(f"The link is for {invited['user_name']}, a new user.")
    elif invited.get("user_name"):
        say(f"The link is for the user {invited['user_name']}.")
    if namesake := invited.get("namesake"):
        delete_new = ctx.target.command(f"users delete {shlex.quote(invited['user_name'])}")
        again = ctx.target.command(f"users invite {shlex.quote(mail)} --name {shlex.quote(namesake)}")
        say(
            f"There is a user {namesake} without an address. If the link was meant for them: {delete_new}, then {again}"
        )
    if invited.get("mailed"):
        say(f"The link was mailed to {mail}, too.")
    elif invited.get("mailed") is False:
        say("The mail server did not take the mail: hand the link over yourself.")
    else:
        say("Hand the link over yourself: whoever has it sets the password.")


@command(app, "list")
async def list_(ctx: ApiContext) -> None:
    """Show all users."""
    ctx.out.rows(_USER, await ctx.client.every("users"))


@command(app, "disable")
async def disable(ctx: ApiContext, name: Name, yes: Yes = False) -> None:
    """Let none of a user's keys work any more."""
    confirm(f"Stop all keys of {name} until `users enable`?", yes=yes)
    ctx.out.one(_USER, await ctx.client.post("users", name, disabled=True))


@command(app, "enable")
async def enable(ctx: ApiContext, name: Name) -> None:
    """Let a disabled user's keys work again."""
    ctx.out.one(_USER, await ctx.client.post("users", name, disabled=False))


@command(app, "erase")
async def erase(ctx: ApiContext, name: Name, yes: Yes = False) -> None:
    """Delete a person and erase their prompts, pictures and name for good; their money stays under a pseudonym."""
    found = await ctx.client.get("users", name, "erasure")
    if not ctx.out.is_json:
        ctx.out.one(_ERASED, found)
        say("Backups still hold all of this, and so does what others copied; erase it there yourself.")
    confirm(f"Erase all of this for good and keep the money under {found['pseudonym']}?", yes=yes)
    gone = found
    while gone["has_more"]:
        gone = await ctx.client.post("users", found["user_id"], "erase")
        if gone["has_more"]:
            ctx.out.note(f"imagegate: {gone['requests']} requests and {gone['pictures']} pictures are left.")
    ctx.out.one(_ERASED, gone)
    if gone["status"] == "begun":
        ctx.out.note(
            "A running gateway erases within six minutes what was under way; after that the status is `ended`."
        )


@command(app, "delete")
async def delete(ctx: ApiContext, name: Name, yes: Yes = False) -> None:
    """Delete a user and all their keys for good; what they used stays in every report."""
    user = await ctx.client.get("users", name)
    confirm(f"Delete the user {user['name']} and all their keys for good?", yes=yes)
    await ctx.client.delete("users", user["id"])
    ctx.out.one(_USER, user)
    ctx.out.note(f"The user {user['name']} is deleted.")
