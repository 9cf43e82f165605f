"""Usage as CSV for spreadsheets, with names beside ids, plain decimals, and no cell that is a formula."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from starlette.responses import Response

from app.api.organization.usage_queries import SOURCE, ImagesCsvQuery
from app.control import buckets
from app.control.buckets import Period, UsageBucket, Width
from app.core.money import decimal_text
from app.core.spreadsheet import csv_text, escape_formula, utc_time
from app.errors import InvalidValue
from app.store.buckets import Field, ReportNames, read_names
from app.store.engine import Database
from app.store.usage import Sums

BUCKETS_MAX: dict[Width, int] = {"1d": 1100, "1h": 24 * 31, "1m": 1440}
"""Three years of days, a month of hours, a day of minutes."""
_SUMS = ("requests", "images", "cost", "currency", "input_tokens", "output_tokens")
_NAMED: Mapping[Field, str] = {"project_id": "project", "user_id": "user", "api_key_id": "api_key"}


async def csv_answer(database: Database, query: ImagesCsvQuery, currency: str) -> Response:
    """Make the CSV of a period. Raises InvalidValue when the period is too long."""
    wanted, most = replace(query.wanted(), with_tokens=True), BUCKETS_MAX[query.bucket_width]
    period = Period(query.start_time, query.end_time, query.bucket_width, most)
    page = await buckets.read_buckets(database, period, wanted)
    if page.next_page is not None:
        message = f"This is more than {most} buckets of {query.bucket_width}: ask for less time, or for wider buckets."
        raise InvalidValue(message, param="start_time")
    names = await database.ask(read_names)
    rows = _rows(page.buckets, wanted.by, names, currency)
    text = await asyncio.to_thread(csv_text, chain([_head(wanted.by)], rows))
    body = text.encode("utf-8-sig" if query.bom else "utf-8")
    disposition = {"content-disposition": 'attachment; filename="usage-images.csv"'}
    return Response(body, headers=disposition, media_type="text/csv; charset=utf-8")


def _head(by: Sequence[Field]) -> list[str]:
    columns = [[_NAMED[field], field] if field in _NAMED else [_plain(field)] for field in by]
    return ["start_time", "end_time", *(name for column in columns for name in column), *_SUMS]


def _rows(found: Sequence[UsageBucket], by: Sequence[Field], names: ReportNames, currency: str) -> Iterator[list[str]]:
    known = {"project_id": names.projects, "user_id": names.users, "api_key_id": names.keys}
    for bucket in found:
        for portion in bucket.portions:
            cells = [utc_time(bucket.start_ms // 1000), utc_time(bucket.end_ms // 1000)]
            for field, value in zip(by, portion.values, strict=True):
                cells += [escape_formula(known[field].get(value, ""))] if field in _NAMED else []
                cells.append(escape_formula(f"{SOURCE}{value}" if field == "operation" else value))
            yield [*cells, *_sums(portion.sums, currency)]


def _sums(sums: Sums, currency: str) -> list[str]:
    cost = decimal_text(sums.cost_micros)
    return [str(sums.requests), str(sums.images), cost, currency, str(sums.input_tokens), str(sums.output_tokens)]


def _plain(field: Field) -> str:
    return "source" if field == "operation" else field
