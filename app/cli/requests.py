"""imagegate requests: the book."""

from typing import Annotated

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields

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


@command(app, "list")
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


@command(app, "show")
async def show(
    call: Call, request: Annotated[str, typer.Argument(metavar="ID", help="Like req_ and 28 digits.")]
) -> None:
    """Show everything about one request."""
    from app.control import requests

    async with call.database() as database:
        found = await requests.show_request(database, request)
    call.out.one(_REQUEST, fields(found, total_ms=found.total_ms))
