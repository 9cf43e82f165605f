"""imagegate requests: requests in the book, and decisions about unknown ones."""

from typing import Annotated, Any

import typer

from app.cli.command import ApiContext, command
from app.cli.output import Column
from app.errors import InvalidValue

app = typer.Typer(help="The book: every request, its life and its cost.")
_LISTED = (
    Column("id"),
    Column("created_at", "time", "reserved_at"),
    Column("state"),
    Column("user"),
    Column("operation"),
    Column("model"),
    Column("n", "number"),
    Column("cost_micros", "money"),
    Column("http_status", "number"),
    Column("error_code"),
)
_REQUEST = (
    Column("id"),
    Column("created_at", "time", "reserved_at"),
    Column("state"),
    Column("user"),
    Column("user_id"),
    Column("project"),
    Column("project_id"),
    Column("api_key_id"),
    Column("operation"),
    Column("model"),
    Column("asked_model"),
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
    Column("upstream_status", "number"),
    Column("upstream_code"),
    Column("upstream_message"),
    Column("dispatched_at", "time"),
    Column("ended_at", "time"),
    Column("total_ms", "number"),
    Column("upstream_ms", "number"),
)
_CORRECTION = (
    Column("created_at", "time"),
    Column("kind"),
    Column("cost_micros", "money"),
    Column("images", "number"),
    Column("requests", "number"),
    Column("actor"),
    Column("reason"),
)


@command(app, "list")
async def list_(
    ctx: ApiContext,
    user: Annotated[str | None, typer.Option(metavar="U", help="Only of this user: name or id.")] = None,
    state: Annotated[
        str | None,
        typer.Option(metavar="S", help="Only in this state: reserved, dispatched, settled, released or unknown."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many at most, 1 to 1000.")] = 20,
) -> None:
    """Show the newest requests, newest first."""
    ctx.out.rows(_LISTED, await ctx.client.every("requests", count=limit, user=user, state=state))


@command(app, "show")
async def show(
    ctx: ApiContext, request: Annotated[str, typer.Argument(metavar="ID", help="Like req_ and 28 digits.")]
) -> None:
    """Show everything about one request, with its corrections and what was decided about it."""
    _print(ctx, await ctx.client.get("requests", request))


RequestId = Annotated[str, typer.Argument(metavar="ID", help="Of a request whose outcome is unknown.")]
Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept beside the request, with your name.")]


@command(app, "settle")
async def settle(
    ctx: ApiContext,
    request: RequestId,
    reason: Reason,
    cost: Annotated[
        str | None, typer.Option(metavar="A", help="What it cost, like 1.00; the quote without it.")
    ] = None,
) -> None:
    """Book an unknown request as charged: you know that the relay took money for it."""
    from app.core.money import micros

    try:
        cost_micros = None if cost is None else micros(cost)
    except ValueError as exc:
        raise InvalidValue(str(exc), param="cost") from None
    _print(ctx, await ctx.client.post("requests", request, "settle", reason=reason, cost_micros=cost_micros))


@command(app, "release")
async def release(ctx: ApiContext, request: RequestId, reason: Reason) -> None:
    """Give back what an unknown request holds: you know that the relay took nothing for it. If its charge turns up after all,
    reconciliation posts a correction."""
    _print(ctx, await ctx.client.post("requests", request, "release", reason=reason))


@command(app, "write-off")
async def write_off(ctx: ApiContext, request: RequestId, reason: Reason) -> None:
    """Give an unknown request up: nobody will find out. Its money counts as spent, at the quote, without a picture."""
    _print(ctx, await ctx.client.post("requests", request, "write_off", reason=reason))


def _print(ctx: ApiContext, request: dict[str, Any]) -> None:
    ctx.out.one(_REQUEST, request)
    if request["corrections"] and not ctx.out.is_json:
        ctx.out.table(_CORRECTION, request["corrections"])
