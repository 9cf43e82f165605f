"""imagegate users: people who may hold keys."""

import shlex
from typing import Annotated

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields, say

app = typer.Typer(help="People who may hold keys.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id.")]
_USER = (
    Column("id"),
    Column("name"),
    Column("email"),
    Column("created_at_ms", "time"),
    Column("disabled_at_ms", "time"),
)


@command(app, "create")
async def create(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 visible characters, nobody else's.")],
    email: Annotated[str | None, typer.Option(metavar="E", help="Where to reach them.")] = None,
) -> None:
    """Make a user, without a limit and without a key."""
    async with call.administration() as administration:
        user = await administration.create_user(name, email)
    call.out.one(_USER, fields(user))
    if not call.out.is_json:
        quoted = shlex.quote(user.name)
        say(
            f"No limit holds for this user yet. {call.place.command(f'limits set --user {quoted} --spend 20 --spend-per month')}"
        )
        say(f"A key: {call.place.command(f'keys create --user {quoted}')}")


@command(app, "list")
async def list_(call: Call) -> None:
    """Show all users."""
    async with call.administration() as administration:
        call.out.rows(_USER, [fields(user) for user in await administration.list_users()])


@command(app, "disable")
async def disable(call: Call, name: Name) -> None:
    """Let none of a user's keys work any more."""
    async with call.administration() as administration:
        call.out.one(_USER, fields(await administration.disable_user(name)))


@command(app, "enable")
async def enable(call: Call, name: Name) -> None:
    """Let a disabled user's keys work again."""
    async with call.administration() as administration:
        call.out.one(_USER, fields(await administration.enable_user(name)))


@command(app, "delete")
async def delete(call: Call, name: Name) -> None:
    """Delete a user and all their keys for good; what they used stays in every report."""
    async with call.administration() as administration:
        call.out.one(_USER, fields(await administration.delete_user(name)))
