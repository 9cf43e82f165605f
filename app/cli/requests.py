"""imagegate requests: requests in the book, and decisions about unknown ones."""

from typing import Annotated, Any

import typer

from app.cli.command import ApiContext, command, moment_s
from app.cli.output import Column, Record, say
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
    Column("response_format"),
    Column("stream"),
    Column("prompt_chars", "number"),
    Column("quote_micros", "money"),
    Column("cost_micros", "money"),
    Column("images", "number"),
    Column("link_only", "number"),
    Column("flag"),
    Column("input_tokens", "number"),
    Column("output_tokens", "number"),
    Column("http_status", "number"),
    Column("error_code"),
    Column("error_message"),
    Column("relay"),
    Column("upstream_request_id"),
    Column("upstream_status", "number"),
    Column("upstream_code"),
    Column("upstream_message"),
    Column("dispatched_at", "time"),
    Column("ended_at", "time"),
    Column("total_ms", "number"),
    Column("upstream_ms", "number"),
    Column("duplicate_of"),
    Column("via"),
)
_REFUSED_DISPATCH = (Column("relay"), Column("dispatched_at", "time"), Column("error_code"))
_CORRECTION = (
    Column("created_at", "time"),
    Column("kind"),
    Column("cost_micros", "money"),
    Column("images", "number"),
    Column("requests", "number"),
    Column("actor"),
    Column("reason"),
)


_REFUSED = (
    Column("created_at", "time"),
    Column("user"),
    Column("model"),
    Column("http_status", "number"),
    Column("error_code"),
    Column("limit", value=lambda row: row.get("limit")),
    Column("count", "number", value=lambda row: row.get("count", 1)),
    Column("message", value=lambda row: _words(row)),
    Column("id"),
)
_REFUSAL = (
    Column("id"),
    Column("created_at", "time", "refused_at"),
    Column("count", "number"),
    Column("last_at", "time"),
    Column("user"),
    Column("user_id"),
    Column("project"),
    Column("project_id"),
    Column("api_key_id"),
    Column("operation"),
    Column("model"),
    Column("http_status", "number"),
    Column("error_code"),
    Column("limit"),
    Column("message"),
)


def _text_option(metavar: str, help: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help)


_TIME = "yesterday, 2026-12-01, or 2026-12-01T08:00"
User = Annotated[str | None, _text_option("U", "Only of this user: name, id or e-mail address.")]
Project = Annotated[str | None, _text_option("P", "Only of this project: name or id.")]
KeyId = Annotated[str | None, _text_option("ID", "Only of the key with this id.")]
ModelName = Annotated[str | None, _text_option("M", "Only of this model or alias.")]
Code = Annotated[str | None, _text_option("C", "Only with this error code.")]
Since = Annotated[str | None, _text_option("T", f"Only from this time on: {_TIME}.")]
Until = Annotated[str | None, _text_option("T", f"Only from before this time: {_TIME}.")]
STATES = "reserved, dispatched, settled, released or unknown"
Outcome = Annotated[str | None, _text_option("S", f"Only in this state: {STATES}.", "--outcome", "--state")]


@command(app, "list", csv=True)
async def list_(
    ctx: ApiContext,
    user: User = None,
    project: Project = None,
    key: KeyId = None,
    model: ModelName = None,
    state: Outcome = None,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only refusals, with why: by the gateway, the relay or the provider.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many at most.")] = 20,
) -> None:
    """Show the newest requests, newest first; with --refused also those that were refused before they were booked."""
    if refused and state is not None:
        raise InvalidValue("--refused has no state: leave --outcome out.", param="state")
    times = {"since": since and moment_s(ctx, since, "since"), "until": until and moment_s(ctx, until, "until")}
    query = {"user": user, "project": project, "key": key, "model": model, "code": code, **times}
    if refused:
        found = await _refused(ctx, limit, query)
    else:
        found = await ctx.client.every("requests", count=limit, state=state, **query)
    ctx.out.rows(_REFUSED if refused else _LISTED, found)
    if found["has_more"]:
        ctx.out.note(f"imagegate: these are the newest {limit}, and there are more: --limit N shows N of them.")


def _words(row: Record) -> str | None:
    """Return why a request was refused: the relay's words, which clients may not see, or else what the client was told."""
    found: str | None = (
        row["message"] if row["object"] == "refusal" else row["upstream_message"] or row["error_message"]
    )
    return found


async def _refused(ctx: ApiContext, limit: int, query: dict[str, Any]) -> dict[str, Any]:
    """Read refusals by the gateway and requests that the relay refused, together by time."""
    refusals = await ctx.client.every("refusals", count=limit, **query)
    by_relay = await ctx.client.every("requests", count=limit, refused=True, **query)
    both = refusals["data"] + by_relay["data"]
    both.sort(key=lambda each: each["created_at"], reverse=True)
    has_more = refusals["has_more"] or by_relay["has_more"] or len(both) > limit
    return {"object": "list", "data": both[:limit], "has_more": has_more}


@command(app, "show")
async def show(
    ctx: ApiContext,
    request: Annotated[
        str, typer.Argument(metavar="ID", help="Like req_ and 28 digits; also the x-request-id of a refusal.")
    ],
) -> None:
    """Show everything about one request, with its corrections and what was decided about it; or why it was refused."""
    found = await ctx.client.get("requests", request)
    if found["object"] == "refusal":
        ctx.out.one(_REFUSAL, found)
    else:
        _print(ctx, found)


RequestId = Annotated[str, typer.Argument(metavar="ID", help="Of a request whose outcome is unknown.")]
Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept beside the request, with your name.")]


@command(app, "settle")
async def settle(
    ctx: ApiContext,
    request: RequestId,
    reason: Reason,
    cost: Annotated[
        str | None,
        typer.Option(metavar="A", help="What it cost, like 1.00; without it, the most it can cost at its relay."),
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
    """Give an unknown request up: nobody will find out. The most that it can cost counts as spent, without a picture."""
    _print(ctx, await ctx.client.post("requests", request, "write_off", reason=reason))


def _print(ctx: ApiContext, request: dict[str, Any]) -> None:
    ctx.out.one(_REQUEST, request)
    if ctx.out.is_json:
        return
    if request["corrections"]:
        ctx.out.table(_CORRECTION, request["corrections"])
    if request["refused_dispatches"]:
        say("Relays that refused it before, free of charge:")
        ctx.out.table(_REFUSED_DISPATCH, request["refused_dispatches"])
