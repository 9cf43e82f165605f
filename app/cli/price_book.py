"""imagegate prices import, export, check and sync: the price book as a whole."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.command import FAILED, Call, command
from app.cli.output import Column, Output, say
from app.cli.prices import DocumentFormat, app
from app.errors import ConfigurationError, InvalidValue

if TYPE_CHECKING:
    from app.control.price_import import PriceImport
    from app.upstream.client import HttpUpstream

__all__ = ["app"]

_STEP = [
    Column("model"),
    Column("operation", none="any"),
    Column("size", none="any"),
    Column("quality", none="any"),
    Column("was", none="none"),
    Column("becomes"),
    Column("from", none="now"),
]
File = Annotated[str, typer.Argument(metavar="FILE", help="YAML or, with a name ending in .json, JSON; - is stdin.")]


@command(app, "export")
async def export(
    call: Call,
    as_: Annotated[DocumentFormat | None, typer.Option("--as", help="yaml, or json (also with --json).")] = None,
) -> None:
    """Print the whole book, its past and its future, as a document that can be imported again."""
    format: Literal["yaml", "json"] = as_.value if as_ else ("json" if call.out.is_json else "yaml")
    async with call.administration() as administration:
        print(await administration.export_prices(format), end="")


@command(app, "import")
async def import_(call: Call, file: File) -> None:
    """Set what of a file is not in the book yet: all of it or, when anything in it is wrong, nothing."""
    _print(call.out, await _imported(call, file, dry_run=False), "set")


@command(app, "check")
async def check(call: Call, file: File) -> None:
    """Say what importing a file would set, and change nothing; exits with 1 when it would set anything."""
    found = await _imported(call, file, dry_run=True)
    _print(call.out, found, "would be set")
    if found.steps:
        raise typer.Exit(FAILED)


@command(app, "sync", here_only=True)
async def sync(
    call: Call,
    apply: Annotated[bool, typer.Option("--apply", help="Set the prices that differ, from now on.")] = False,
    model: Annotated[
        list[str] | None, typer.Option(metavar="M", help="Also this model of the relay's; may be repeated.")
    ] = None,
    group: Annotated[str, typer.Option(metavar="G", help="The group of the relay that your key is in.")] = "default",
) -> None:
    """Compare the book with the prices the relay tells, and show what differs. What a dollar of the relay's costs you is
    UPSTREAM_DOLLAR_MICROS."""
    from app.control import price_import, price_sync
    from app.upstream.billing import Unusable
    from app.upstream.pricing import read_prices

    settings = call.home.settings
    async with call.database() as database, _relay(call) as upstream:
        try:
            relay = await read_prices(upstream, group, settings.upstream_dollar_micros)
        except Unusable as exc:
            raise ConfigurationError(f"The relay does not tell its prices: {exc}.") from None
        offer = await price_sync.relay_offer(database, relay, model or [])
        found = await price_import.import_prices(database, settings.zone, offer.entries, dry_run=not apply)
    _print(call.out, found, "set" if apply else "would be set", list(offer.notes))
    if found.steps and not apply and not call.out.is_json:
        say(f"imagegate: nothing is set yet; `{call.home.command('prices sync --apply')}` does it.")


async def _imported(call: Call, file: str, *, dry_run: bool) -> "PriceImport":
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")  # noqa: ASYNC240  (nobody waits)
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidValue(f"{file} cannot be read: {type(exc).__name__}.", param="file") from None
    async with call.administration() as administration:
        return await administration.import_prices(text, "json" if file.endswith(".json") else "yaml", dry_run=dry_run)


@asynccontextmanager
async def _relay(call: Call) -> "AsyncIterator[HttpUpstream]":
    from app.administration import upstream_from

    if call.home.sandbox:
        raise ConfigurationError("The sandbox relay lives inside `imagegate serve`: there are no prices to ask for.")
    upstream = upstream_from(call.home.settings)
    try:
        yield upstream
    finally:
        await upstream.close()


def _print(out: Output, found: "PriceImport", what: str, notes: list[str] | None = None) -> None:
    from app.control.price_files import amount_fields

    named = ("model", "operation", "size", "quality")
    records: list[dict[str, Any]] = [
        {
            **{name: getattr(step.wanted, name) for name in named},
            "was": amount_fields(step.was) if step.was else None,
            "becomes": amount_fields(step.wanted.amount),
            "from": step.wanted.starts,
        }
        for step in found.steps
    ]
    if out.is_json:
        out.json({"data": records, "unchanged": found.unchanged, "past": found.past, "notes": notes or []})
        return
    for note in notes or []:
        say(f"imagegate: {note}")
    texts = [
        {**record, "was": _text(record["was"]) if record["was"] else None, "becomes": _text(record["becomes"])}
        for record in records
    ]
    if texts:
        out.rows(_STEP, texts)
    past = f", {found.past} are past and left out" if found.past else ""
    say(f"imagegate: {len(records)} {what}, {found.unchanged} are in the book already{past}.")


def _text(amount: dict[str, str]) -> str:
    return (
        amount["per_image"] if "per_image" in amount else ", ".join(f"{name} {value}" for name, value in amount.items())
    )
