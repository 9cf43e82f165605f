"""Requests and refusals as CSV for spreadsheets: plain decimals, times in UTC, and no cell that is a formula."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.core.money import decimal_text
from app.core.spreadsheet import escape_formula, utc_time

PAGE_ROWS = 1000
BOM = "\ufeff"


def csv_head(fields: Iterable[str], currency: str | None) -> list[str]:
    """Return the head of a table of these fields; amounts are named without their unit. `currency` is None where there is no
    money."""
    return [field.removesuffix("_micros") for field in fields] + ([] if currency is None else ["currency"])


def csv_cells(answer: object, fields: Sequence[str], currency: str | None) -> list[str]:
    """Return the cells of an answer; a field that it does not have is empty."""
    cells = [_cell(field, getattr(answer, field, None)) for field in fields]
    return cells if currency is None else [*cells, currency]


def _cell(field: str, value: Any) -> str:
    if value is None:
        return ""
    if field.endswith("_micros"):
        return decimal_text(value)
    if field.endswith("_at"):
        return utc_time(value)
    return str(value).lower() if isinstance(value, bool) else escape_formula(str(value))
