"""imagegate requests: the book."""

import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields
from app.cli.reconcile import ledger
from app.errors import InvalidValue

if TYPE_CHECKING:
    from app.control.decisions import DecisionReason, Decisions
    from app.store.engine import Database
    from app.store.requests import RequestRecord

app = typer.Typer(help="The book: every request, its life and its cost.")
_LISTED = (
    "id",
    "reserved_at_ms",
    "user",
    "model",
    "operation",
    "n",
    "state",
    "cost_micros",
    "http_status",
    "error_code",
)
_REQUEST = [
    Column("id"),
    Column("reserved_at_ms", "time"),
    Column("state"),
    Column("user"),
    Column("user_id"),
    Column("project"),
    Column("project_id"),
    Column("api_key_id"),
    Column("operation"),
    Column("model"),
    Column("n", "number"),
    Column("size"),
    Column("quality"),
    Column("stream"),
    Column("prompt_chars", "number"),
    Column("quote_micros", "money"),
    Column("cost_micros", "money"),
    Column("images", "number"),
    Column("flag"),
    Column("input_tokens", "number"),
    Column("output_tokens", "number"),
    Column("http_status", "number"),
    Column("error_code"),
    Column("upstream_request_id"),
    Column("dispatched_at_ms", "time"),
    Column("ended_at_ms", "time"),
    Column("total_ms", "number"),
    Column("upstream_ms", "number"),
]

_CORRECTION = [
    Column("created_at_ms", "time"),
    Column("kind"),
    Column("cost_micros", "money"),
    Column("images", "number"),
    Column("requests", "number"),
    Column("actor"),
    Column("reason"),
]


@command(app, "list", here_only=True)
async def list_(
    call: Call,
    user: Annotated[str | None, typer.Option(metavar="U", help="Only of this user: name or id.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="How many at most, 1 to 1000.")] = 20,
) -> None:
    """Show the newest requests, newest first."""
    from app.control import requests

    async with call.database() as database:
        found = await requests.list_requests(database, user, limit)
    columns = _REQUEST if call.out.is_json else [column for column in _REQUEST if column.key in _LISTED]
    call.out.rows(columns, [fields(request, total_ms=request.total_ms) for request in found])


@command(app, "show", here_only=True)
async def show(
    call: Call, request: Annotated[str, typer.Argument(metavar="ID", help="Like req_ and 28 digits.")]
) -> None:
    """Show everything about one request, with its corrections and what was decided about it."""
    async with call.database() as database:
        await _print(call, database, request)


RequestId = Annotated[str, typer.Argument(metavar="ID", help="Of a request whose outcome is unknown.")]
Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept beside the request, with your name.")]


@command(app, "settle", here_only=True)
async def settle(
    call: Call,
    request: RequestId,
    reason: Reason,
    cost: Annotated[
        str | None, typer.Option(metavar="A", help="What it cost, like 1.00; the quote without it.")
    ] = None,
) -> None:
    """Book an unknown request as charged: you know that the relay took money for it."""
    from app.control.decisions import settle_by_hand
    from app.core.money import micros

    try:
        cost_micros = None if cost is None else micros(cost)
    except ValueError as exc:
        raise InvalidValue(str(exc), param="cost") from None
    await _decide(call, request, lambda decisions: settle_by_hand(decisions, request, _reason(reason), cost_micros))


@command(app, "release", here_only=True)
async def release(call: Call, request: RequestId, reason: Reason) -> None:
    """Give back what an unknown request holds: you know that the relay took nothing for it. If its charge turns up after all,
    reconciliation posts a correction."""
    from app.control.decisions import release_by_hand

    await _decide(call, request, lambda decisions: release_by_hand(decisions, request, _reason(reason)))


@command(app, "write-off", here_only=True)
async def write_off(call: Call, request: RequestId, reason: Reason) -> None:
    """Give an unknown request up: nobody will find out. Its money counts as spent, at the quote, without a picture."""
    from app.control.decisions import write_off

    await _decide(call, request, lambda decisions: write_off(decisions, request, _reason(reason)))


async def _decide(
    call: Call, request_id: str, decide: Callable[["Decisions"], Coroutine[Any, Any, "RequestRecord"]]
) -> None:
    from app.control.decisions import Decisions

    async with call.database() as database, ledger(database) as money:
        await decide(Decisions(database, money, call.home.settings.zone))
        await _print(call, database, request_id)


async def _print(call: Call, database: "Database", request_id: str) -> None:
    from app.control import requests

    found = await requests.show_request(database, request_id)
    mended = [fields(each) for each in await requests.corrections_of(database, request_id)]
    record = fields(found, total_ms=found.total_ms)
    if call.out.is_json:
        listed = [call.out.as_json(_CORRECTION, each) for each in mended]
        call.out.json({**call.out.as_json(_REQUEST, record), "corrections": listed})
        return
    call.out.one(_REQUEST, record)
    if mended:
        call.out.rows(_CORRECTION, mended)


def _reason(reason: str) -> "DecisionReason":
    """Reason given at this terminal."""
    import getpass

    from app.control.decisions import DecisionReason

    try:
        actor = getpass.getuser()
    except (KeyError, OSError):  # In a container the user may have no name.
        actor = f"uid {os.getuid()}"
    return DecisionReason(f"{actor} (command line)", reason)
