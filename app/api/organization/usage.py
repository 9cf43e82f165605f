"""/organization/usage/images and /organization/costs: what was used and what it cost, in buckets of time; and our report."""

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
from app.store.usage import Sums

router = APIRouter(tags=["Usage and costs"])
WITH_IDS = ("project", "user", "key")
_CSV = "start_time,end_time,model,requests,images,cost,currency,input_tokens,output_tokens\r\n"
_CSV_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string", "example": _CSV}}}}
}
_Day = Annotated[str | None, QueryField(max_length=10, description="A day of the gateway's timezone, like 2026-12-01.")]


@router.get("/usage/images", response_model=ImagesUsageOut)
async def usage_images(caller: Admin, query: Annotated[ImagesQuery, Depends(QueryString(ImagesQuery))]) -> Response:
    """Images and requests that were paid for, at the time of each request.

    Buckets are cut where UTC cuts minutes, hours and days. The first begins with the hour (of minutes: with the minute) that
    holds `start_time`, the last ends with the one that holds `end_time`: its own times say so. `size` is null where neither
    request nor answer named one. `amount_micros` is an extension: what they cost, in millionths of the book's currency.
    """
    return await images_answer(caller.database, query)


@router.get("/usage/images.csv", response_class=Response, responses=_CSV_ANSWER, openapi_extra=EXTENSION)
async def usage_images_csv(
    caller: Admin, query: Annotated[ImagesCsvQuery, Depends(QueryString(ImagesCsvQuery))]
) -> Response:
    """The same as a table, without pages; names stand beside ids, amounts are plain decimals."""
    return await csv_answer(caller.database, query, caller.gateway.currency)


@router.get("/costs", response_model=CostsOut)
async def costs(caller: Admin, query: Annotated[CostsQuery, Depends(QueryString(CostsQuery))]) -> Response:
    """Money spent, by days of UTC, in the book's currency; `value` is a float, as OpenAI's.

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
    """Usage and its cost from the day `since` to the day before `until`: by day where that is asked for, then
    the dearest first."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    report = await usage.report(caller.database, names, since, until)
    return await asyncio.to_thread(_report_response, report, caller.gateway.currency)


def _report_response(report: usage.UsageReport, currency: str) -> Response:
    """For a thread: a year by day, key and size can be tens of thousands of rows, and images are under way meanwhile."""
    rows = []
    for row in report.rows:
        named: dict[str, Any] = {}
        for name, (text, id_) in zip(report.by, row.names, strict=True):
            named |= {name: text or None, **({f"{name}_id": id_} if name in WITH_IDS else {})}
        rows.append(named | _sums(row.sums))
    total = _sums(report.total)
    answer = {"object": "usage.report", "by": report.by, "data": rows, "total": total, "currency": currency}
    return json_response(answer)


def _sums(sums: Sums) -> dict[str, int]:
    return {name: getattr(sums, name) for name in Sums.__slots__}
