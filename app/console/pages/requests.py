"""Pages of the requests: the list with refusals beside them, as CSV too, one of them, and decisions about unknown ones."""

from collections.abc import AsyncIterator
from functools import partial
from itertools import groupby
from typing import Any

from starlette.responses import Response, StreamingResponse

from app.api.schemas.requests import RefusalOut, RequestOut
from app.console.choices import models_and, projects_to_filter
from app.console.language import marked as _
from app.console.refusal_words import REASONS, limit_in_words
from app.console.request_detail import KeptThumbnail, detail_of, find, thumbnails_of
from app.console.request_list import NAMED, OUTCOMES, RequestQuestion
from app.console.visit import Visit, signed_in
from app.control import decisions
from app.control.decisions import DecisionReason, Decisions
from app.control.request_csv import BOM, PAGE_ROWS, csv_cells, csv_head
from app.control.requests import ListedRequest, listed
from app.core.intervals import local_day
from app.core.money import micros
from app.core.spreadsheet import csv_text
from app.errors import GatewayError, InvalidValue, PermissionDenied
from app.store.organization import find_user
from app.store.refusals import RefusalRecord
from app.store.request_details import key_names

ROWS = 50
THUMBNAILS_MAX = 3
CODES = ("insufficient_quota", "rate_limit_exceeded", "model_not_allowed", "content_policy_violation")
"""Error codes that the form suggests."""
OWNERS_DECIDE = _("Owners decide about unknown requests. Ask one of them.")
_OF_REFUSALS = [name for name in RefusalOut.model_fields if name not in RequestOut.model_fields]
NOT_FOR_MEMBERS = ("relay", "upstream_")
"""Beginnings of the names of fields that the CSV leaves out for members."""
CSV_FIELDS = (*RequestOut.model_fields, "corrected_micros", *_OF_REFUSALS)


async def list_requests(visit: Visit) -> Response:
    """List requests and refusals, newest first: members their own, owners and readers everybody's."""
    asked, after = RequestQuestion.of(visit), visit.query.get("after")
    page = await asked.page(after, ROWS)
    rows = [_row(visit, each) for each in page.rows]
    return visit.render(
        "requests.html",
        asked=asked,
        page=page,
        rows=rows,
        days=[(day, list(group)) for day, group in groupby(rows, partial(_day, visit))],
        limit_words=partial(limit_in_words, visit.language),
        after=after,
        outcomes=OUTCOMES,
        codes=CODES,
        choices={
            "model": await models_and(visit, asked.only.get("model", "")),
            "project": await projects_to_filter(visit),
        },
        named=await _names(visit, asked),
    )


async def export_requests(visit: Visit) -> Response:
    """Answer with all rows of the list as CSV, read page after page while it is sent."""
    asked, currency = RequestQuestion.of(visit), visit.parts.gateway.currency
    fields = [name for name in CSV_FIELDS if visit.sees_all or not name.startswith(NOT_FOR_MEMBERS)]
    page = await asked.page(None, PAGE_ROWS)

    async def lines() -> AsyncIterator[str]:
        nonlocal page
        yield BOM + csv_text([csv_head(fields, currency)])
        while True:
            yield csv_text(csv_cells(_Line(each), fields, currency) for each in page.rows)
            if page.following is None:
                return
            page = await asked.page(page.following, PAGE_ROWS)

    headers = {"content-disposition": 'attachment; filename="requests.csv"', "cache-control": "no-store"}
    return StreamingResponse(lines(), 200, headers, "text/csv")


async def show_request(visit: Visit) -> Response:
    """Show one request or refusal."""
    return await _page(visit)


async def decide(visit: Visit) -> Response:
    """End an unknown request as the pressed button says, with the reason that the form gives."""
    found = await find(visit, visit.request.path_params["request_id"])
    if visit.role != "owner":
        raise PermissionDenied(OWNERS_DECIDE)
    form = await visit.form()
    gateway, reason = visit.parts.gateway, DecisionReason(visit.user.name, form.get("reason", ""))
    by_hand = Decisions(visit.database, gateway.ledger, gateway.zone)
    try:
        match form.get("do"):
            case "settle":
                cost = form.get("cost", "")
                await decisions.settle_by_hand(by_hand, found.id, reason, _micros(cost) if cost else None)
            case "release":
                await decisions.release_by_hand(by_hand, found.id, reason)
            case "write_off":
                await decisions.write_off(by_hand, found.id, reason)
            case _:
                raise InvalidValue(_("Press one of the buttons."), param="do")
    except GatewayError as exc:
        return await _page(visit, exc, form)
    return visit.redirect(f"/requests/{found.id}", done=form["do"])


class _Line:
    """Row of the CSV: the fields of the API's form of a request or refusal, and what corrections added."""

    def __init__(self, row: ListedRequest):
        self._out = _out(row)
        self.corrected_micros = row.corrected_micros or None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def _out(row: ListedRequest) -> RequestOut | RefusalOut:
    return RefusalOut.of(row.record) if isinstance(row.record, RefusalRecord) else RequestOut.of(row.record)


def _row(visit: Visit, row: ListedRequest) -> dict[str, Any]:
    return {
        "out": _out(row),
        "key": row.key,
        "corrected_micros": row.corrected_micros,
        "source": None if row.source is None else KeptThumbnail(row.source, may_look=True),
        "thumbnails": thumbnails_of(visit, row.pictures)[:THUMBNAILS_MAX],
        "more": max(len(row.pictures) - THUMBNAILS_MAX, 0),
    }


def _day(visit: Visit, row: dict[str, Any]) -> str:
    return local_day(row["out"].created_at * 1000, visit.parts.gateway.zone)


async def _page(visit: Visit, error: GatewayError | None = None, form: dict[str, str] | None = None) -> Response:
    found = await find(visit, visit.request.path_params["request_id"])
    status, reason = 200 if error is None else error.status, REASONS.get(found.error_code or "", "")
    if isinstance(found, RefusalRecord):
        if error is not None:
            raise error
        (row,) = await listed(visit.database, [found], visit.user.user_id)
        words = partial(limit_in_words, visit.language)
        return visit.render("refusal.html", refusal=_out(row), key=row.key, reason=reason, limit_words=words)
    shared: dict[str, Any] = {"error": error, "form": form or {}, "reason": reason}
    detail = await detail_of(visit, found)
    return visit.render("request.html", status=status, detail=detail, request=detail.out, **shared)


def _micros(text: str) -> int:
    try:
        return micros(text)
    except ValueError as exc:
        raise InvalidValue(str(exc), param="cost") from None


async def _names(visit: Visit, asked: RequestQuestion) -> dict[str, str]:
    """Return the names of filters that only links set, to show beside their kind."""
    shown = {name: asked.only[name] for name in NAMED if name in asked.only}
    async with visit.database.read() as connection:
        if "key" in shown:
            shown["key"] = (await key_names(connection, [shown["key"]])).get(shown["key"]) or shown["key"]
        if "user" in shown and (user := await find_user(connection, shown["user"])) is not None:
            shown["user"] = user.name
    return shown


routes = (
    ("GET", "/requests", signed_in(list_requests)),
    ("GET", "/requests.csv", signed_in(export_requests)),
    ("GET", "/requests/{request_id}", signed_in(show_request)),
    ("POST", "/requests/{request_id}", signed_in(decide)),
)
