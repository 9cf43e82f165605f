"""/organization/usage/report: sums over local days, with names, by anything that is counted (an extension)."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from app.api.organization.deps import Admin
from app.api.organization.docs import described
from app.control import usage
from app.control.usage import Report
from app.store.usage import Sums

router = APIRouter(tags=["Usage and costs"])
WITH_IDS = ("project", "user", "key")
_SUMS = {"requests": 9, "images": 12, "cost_micros": 12_000_000, "input_tokens": 0, "output_tokens": 0}
_EXAMPLE = {
    "object": "organization.usage.report",
    "by": ["user", "model"],
    "data": [{"user": "lin", "user_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m", "model": "gpt-image-1", **_SUMS}],
    "total": _SUMS,
    "currency": "CNY",
}
_Day = Annotated[str | None, Query(max_length=10, description="A day of the gateway's timezone, like 2026-12-01.")]


@router.get("/usage/report", response_class=JSONResponse, **described(_EXAMPLE, 400, extension=True))
async def usage_report(
    caller: Admin,
    by: Annotated[str, Query(max_length=100, description=f"Any of {','.join(usage.DIMENSIONS)}.")] = "model",
    since: _Day = None,
    until: _Day = None,
) -> JSONResponse:
    """What was used and what it cost, from the day `since` to the day before `until`: by day where that is asked for, then
    the dearest first."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    report = await usage.report(caller.database, names, since, until)
    return await asyncio.to_thread(_answer, report, caller.gateway.settings.currency)


def _answer(report: Report, currency: str) -> JSONResponse:
    """For a thread: a year by day, key and size can be tens of thousands of rows, and images are under way meanwhile."""
    return JSONResponse(
        {
            "object": "organization.usage.report",
            "by": list(report.by),
            "data": _rows(report),
            "total": _sums(report.total),
            "currency": currency,
        }
    )


def _rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for row in report.rows:
        named: dict[str, Any] = {}
        for name, (text, id_) in zip(report.by, row.names, strict=True):
            named |= {name: text or None, **({f"{name}_id": id_} if name in WITH_IDS else {})}
        rows.append({**named, **_sums(row.sums)})
    return rows


def _sums(sums: Sums) -> dict[str, int]:
    return {name: getattr(sums, name) for name in Sums.__slots__}
