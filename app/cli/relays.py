"""imagegate relays: the relays that images are bought from."""

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.output import Column, say
from app.errors import InvalidValue

app = typer.Typer(help="The relays that images are bought from; the one of the settings is named default.")
NONE = "none"
"""Value of an option that removes what was set."""


class ProfileOption(StrEnum):
    C = "C"
    N = "N"
    none = NONE


_LISTED = (
    Column("name"),
    Column("state"),
    Column("breaker", none="-"),
    Column("weight", "number"),
    Column("in_flight", "number"),
    Column("concurrent", "number", none="no bound"),
    Column("models", none="all"),
    Column("price_factor", "number"),
    Column("base_url"),
)
_RELAY = (
    *_LISTED,
    Column("has_key", heading="key is set"),
    Column("profile", none="as the settings say"),
    Column("micros_per_dollar", "money", heading="500,000 points cost", none="as the settings say"),
    Column("breaker_code"),
    Column("retry_in_s", "number"),
    Column("created_at", "time"),
    Column("key_replaced_at", "time"),
    Column("disabled_at", "time"),
    Column("removed_at", "time"),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The relay.")]
KeyStdin = Annotated[bool, typer.Option("--key-stdin", help="Read its key from stdin, one line; never an argument.")]
Profile = Annotated[
    ProfileOption | None,
    typer.Option(help="Kind of its bills: C takes its key in the address of the log, N in a header; none: as set."),
]
Weight = Annotated[int | None, typer.Option(metavar="N", help="Its part of the requests; 0: only what no other takes.")]
Concurrent = Annotated[str | None, typer.Option(metavar="N", help="Most requests at once, or none for no bound.")]
Models = Annotated[str | None, typer.Option(metavar="A,B", help="Only these models of the catalog, or none for all.")]
DollarMicros = Annotated[
    str | None, typer.Option(metavar="N", help="What 500,000 of its points cost, in millionths of the currency.")
]
PriceFactor = Annotated[
    str | None, typer.Option(metavar="F", help="What it charges of the price book's prices: 0.8 is 80 %.")
]


@command(app, "add")
async def add(
    ctx: ApiContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 32 of a-z, 0-9 and -; never used again.")],
    base_url: Annotated[str, typer.Option(metavar="URL", help="Its address, like https://api.example.com.")],
    key_stdin: KeyStdin = False,
    profile: Profile = None,
    weight: Weight = None,
    concurrent: Concurrent = None,
    models: Models = None,
    dollar_micros: DollarMicros = None,
    price_factor: PriceFactor = None,
) -> None:
    """Add a relay, which gets requests at once. Its key is stored encrypted and never shown."""
    fields = _fields(profile, weight, concurrent, models, dollar_micros, price_factor)
    relay = await ctx.client.post("relays", name=name, base_url=base_url, key=_key(key_stdin), **fields)
    ctx.out.one(_RELAY, relay)


@command(app, "set")
async def set_(
    ctx: ApiContext,
    name: Name,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="A new address, with its key again.")] = None,
    key_stdin: KeyStdin = False,
    profile: Profile = None,
    weight: Weight = None,
    concurrent: Concurrent = None,
    models: Models = None,
    dollar_micros: DollarMicros = None,
    price_factor: PriceFactor = None,
) -> None:
    """Change a relay from the next request on; what is not given stays."""
    fields = _fields(profile, weight, concurrent, models, dollar_micros, price_factor)
    key = _key(True) if key_stdin else None
    ctx.out.one(_RELAY, await ctx.client.post("relays", name, base_url=base_url, key=key, **fields))


@command(app, "list")
async def list_(
    ctx: ApiContext, removed: Annotated[bool, typer.Option("--removed", help="Removed ones, too.")] = False
) -> None:
    """Show the relays. A breaker is open where one has failed too often, and others get its requests; only a running gateway knows
    that: ask it with --url."""
    ctx.out.rows(_LISTED, await ctx.client.get("relays", include_removed=removed))


@command(app, "show")
async def show(ctx: ApiContext, name: Name) -> None:
    """Show everything about a relay but its key."""
    ctx.out.one(_RELAY, await ctx.client.get("relays", name))


@command(app, "replace-key")
async def replace_key(ctx: ApiContext, name: Name, key_stdin: KeyStdin = False) -> None:
    """Give a relay another key, without a restart. Its breaker closes."""
    ctx.out.one(_RELAY, await ctx.client.post("relays", name, "key", key=_key(key_stdin)))


@command(app, "enable")
async def enable(ctx: ApiContext, name: Name) -> None:
    """Let a disabled relay get requests again."""
    ctx.out.one(_RELAY, await ctx.client.post("relays", name, disabled=False))


@command(app, "disable")
async def disable(ctx: ApiContext, name: Name, yes: Yes = False) -> None:
    """Let a relay get no requests any more; those that it has end as usual."""
    confirm(f"Keep requests from the relay {name} until it is enabled again?", yes=yes)
    ctx.out.one(_RELAY, await ctx.client.post("relays", name, disabled=True))


@command(app, "remove")
async def remove(ctx: ApiContext, name: Name, yes: Yes = False) -> None:
    """Remove a relay for good. The book keeps its name, and its key until no request that went to it is open."""
    confirm(f"Remove the relay {name} for good?", yes=yes)
    ctx.out.done(await ctx.client.delete("relays", name), f"The relay {name} gets no requests any more.")


def _fields(
    profile: ProfileOption | None,
    weight: int | None,
    concurrent: str | None,
    models: str | None,
    dollar_micros: str | None,
    price_factor: str | None,
) -> dict[str, Any]:
    return {
        "profile": "" if profile is ProfileOption.none else profile,
        "weight": weight,
        "concurrent": _number("--concurrent", concurrent),
        "models": [] if models == NONE else None if models is None else [each.strip() for each in models.split(",")],
        "micros_per_dollar": _number("--dollar-micros", dollar_micros),
        "price_factor": price_factor,
    }


def _number(option: str, text: str | None) -> int | None:
    """Parse a whole number from 1 on; 0 for `none`, None for None. Raises InvalidValue."""
    if text is None or text == NONE:
        return None if text is None else 0
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 15 and int(text) > 0):
        raise InvalidValue(f"{option} takes a whole number from 1 on, or none; not {text!r}.", param=option.strip("-"))
    return int(text)


def _key(is_given: bool) -> str:
    """Read the key of a relay from stdin. Raises InvalidValue."""
    if not is_given:
        message = "Give --key-stdin, and the key on stdin: an argument would stand in the list of processes."
        raise InvalidValue(message, param="key")
    if sys.stdin.isatty():
        say("The key of the relay, and Enter:")
    return sys.stdin.readline().strip()
