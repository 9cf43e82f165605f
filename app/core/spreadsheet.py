"""CSV for spreadsheets, which execute cells that look like formulas."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

FORMULA_STARTS = ("=", "+", "-", "@")


def escape_formula(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would execute."""
    return f"'{text}" if text and (text.startswith(FORMULA_STARTS) or not text[0].isprintable()) else text


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Write rows as RFC 4180 does, each with CRLF at its end."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue()


def utc_time(at_s: int) -> str:
    """Write a time (Unix s) in UTC, as spreadsheets read it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
