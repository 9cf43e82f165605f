"""/organization/usage and /organization/costs: usage and cost in buckets of time, as CSV, and as a report by local days."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Query as QueryField
from starlette.responses import Response

from app.api.organization.deps import Admin
from app.api.organization.reading import QueryString
from app.api.organization.usage_answers import costs_answer, images_answer, json_response
from app.api.organization.usage_csv import csv_answer
from app.api.organization.usage_queries import CostsQuery, ImagesCsvQuery, ImagesQuery
from app.api.schemas.base import EXTENSION
from app.api.schemas.usage import CostsOut, ImagesUsageOut, UsageReportOut
from app.control import usage
from app.store.usage import DuplicateSums, Sums

router = APIRouter(tags=["Usage and costs"])
WITH_IDS = ("project", "user", "key")
_CSV = "start_time,end_time,model,requests,images,cost,currency,input_tokens,output_tokens\r\n"
_CSV_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string", "example": _CSV}}}}
}
_Day = Annotated[str | None, QueryField(max_length=10, description="A day of the gateway's timezone, like 2026-12-01.")]


@router.get("/usage/images", response_model=ImagesUsageOut)
async def usage_images(caller: Admin, query: Annotated[ImagesQuery, Depends(QueryString(ImagesQuery))]) -> Response:
    """List paid images and requests in buckets, by the time of the request.

    Buckets begin at minutes, hours or days of UTC. The first begins with the hour (the minute, for minutes) of `start_time` and the
    last ends with that of `end_time`. `size` is null where neither request nor answer named one. `amount_micros` is an extension:
    the cost in millionths of the book's currency.
    """
    return await images_answer(caller.database, query)


@router.get("/usage/images.csv", response_class=Response, responses=_CSV_ANSWER, openapi_extra=EXTENSION)
async def usage_images_csv(
    caller: Admin, query: Annotated[ImagesCsvQuery, Depends(QueryString(ImagesCsvQuery))]
) -> Response:
    """Export usage of images as CSV, without pages, with names beside ids and amounts as plain decimals."""
    return await csv_answer(caller.database, query, caller.gateway.currency)


@router.get("/costs", response_model=CostsOut)
async def costs(caller: Admin, query: Annotated[CostsQuery, Depends(QueryString(CostsQuery))]) -> Response:
    """List costs by days of UTC, in the book's currency. `value` is a float, as at OpenAI.

    Extensions: `amount_micros`, the exact amount in millionths; grouping by `model`; the filters `models` and `user_ids`.
    """
    return await costs_answer(caller.database, query, caller.gateway.currency)


@router.get("/usage/report", response_model=UsageReportOut, openapi_extra=EXTENSION)
async def usage_report(
    caller: Admin,
    by: Annotated[str, QueryField(max_length=100, description=f"Any of {','.join(usage.DIMENSIONS)}.")] = "model",
    since: _Day = None,
    until: _Day = None,
) -> Response:
    """Report usage and cost from the day `since` to the day before `until`, sorted by day, if grouped by it, then by cost."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    report = await usage.report(caller.database, names, since, until, caller.gateway.zone)
    return await asyncio.to_thread(_report_response, report, caller.gateway.currency)


def _report_response(report: usage.UsageReport, currency: str) -> Response:
    """Write the report, in a thread: tens of thousands of rows would block the event loop."""
    rows = []
    for row in report.rows:
        named: dict[str, Any] = {}
        for name, (text, id_) in zip(report.by, row.names, strict=True):
            named |= {name: text or None, **({f"{name}_id": id_} if name in WITH_IDS else {})}
        rows.append(named | _sums(row.sums, row.duplicates))
    total = _sums(report.total, report.duplicates)
    answer = {"object": "usage.report", "by": report.by, "data": rows, "total": total, "currency": currency}
    return json_response(answer)


def _sums(*sums: Sums | DuplicateSums) -> dict[str, int]:
    return {name: getattr(each, name) for each in sums for name in each.__slots__}
