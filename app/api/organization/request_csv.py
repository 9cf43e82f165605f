"""Requests and refusals as CSV for spreadsheets, without pages: plain decimals, times in UTC, and no cell that is a formula."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as QueryField
from starlette.responses import Response, StreamingResponse

from app.api.organization.deps import Admin
from app.api.organization.request_filters import BookFilter, Filter
from app.api.schemas.requests import RefusalOut, RequestOut
from app.control import requests
from app.control.request_csv import BOM, PAGE_ROWS, csv_cells, csv_head
from app.core.spreadsheet import csv_text
from app.errors import InvalidValue
from app.store.pages import Cursor, Page

router = APIRouter(tags=["Requests (extension)"])
Bom = Annotated[bool, QueryField(description="Begin with a byte order mark, which Excel needs to read UTF-8.")]
_EXAMPLE = "id,created_at,user,http_status,error_code\r\n"
_CSV_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string", "example": _EXAMPLE}}}}
}


@router.get("/requests.csv", response_class=Response, responses=_CSV_ANSWER)
async def requests_csv(caller: Admin, wanted: BookFilter, bom: Bom = False) -> Response:
    """Export all requests that match as CSV, newest first, with amounts as plain decimals."""

    async def read(cursor: Cursor) -> Page[Any]:
        return await requests.page_of_requests(caller.database, cursor, wanted)

    return await _csv_answer(read, RequestOut, "requests", caller.gateway.currency, bom)


@router.get("/refusals.csv", response_class=Response, responses=_CSV_ANSWER)
async def refusals_csv(caller: Admin, wanted: Filter, bom: Bom = False) -> Response:
    """Export all refusals that match as CSV, newest first."""

    async def read(cursor: Cursor) -> Page[Any]:
        return await requests.page_of_refusals(caller.database, cursor, wanted)

    return await _csv_answer(read, RefusalOut, "refusals", None, bom)


async def _csv_answer(
    read: Callable[[Cursor], Awaitable[Page[Any]]],
    model: type[RequestOut] | type[RefusalOut],
    name: str,
    currency: str | None,
    bom: bool,
) -> Response:
    """Make the answer, which reads page after page while it is sent; errors of the first page are answered.

    `currency` is None where there is no money.
    """
    fields = [field for field in model.model_fields if field != "object"]
    page = await read(Cursor(None, PAGE_ROWS, descending=True))

    async def lines() -> AsyncIterator[str]:
        nonlocal page
        yield (BOM if bom else "") + csv_text([csv_head(fields, currency)])
        while page.records:
            yield csv_text(csv_cells(model.of(record), fields, currency) for record in page.records)
            if not page.has_more:
                return
            try:
                page = await read(Cursor(page.records[-1].id, PAGE_ROWS, descending=True))
            except InvalidValue:  # The last row was pruned meanwhile, and with it all older ones.
                return

    disposition = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(lines(), headers=disposition, media_type="text/csv; charset=utf-8")
