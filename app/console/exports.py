"""Tables as CSV, for spreadsheets."""

from collections.abc import Sequence

from starlette.responses import Response

from app.core.spreadsheet import csv_text


def csv_response(name: str, lines: Sequence[Sequence[str]]) -> Response:
    """Answer with a file of this name. The mark at its beginning lets spreadsheets read it as UTF-8."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(b"\xef\xbb\xbf" + csv_text(lines).encode(), 200, headers, "text/csv")
