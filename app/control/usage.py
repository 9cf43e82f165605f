"""Usage reports: requests, images, tokens and cost by any dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from app.control.dates import day
from app.control.names import quoted
from app.errors import InvalidValue
from app.store import usage as store
from app.store.engine import Database
from app.store.usage import Dimension, Sums, UsageRow

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage by dimensions, with a total. Days are those of the configured timezone at the time of each request."""

    by: tuple[Dimension, ...]
    rows: tuple[UsageRow, ...]
    total: Sums


async def report(
    database: Database, by: Sequence[str], since: str | None = None, until: str | None = None
) -> UsageReport:
    """Sum settled requests by dimensions; `since` is inclusive, `until` exclusive, days like `2026-12-01`.

    Raises InvalidValue.
    """
    dimensions = _dimensions(by)
    since = None if since is None else day(since, "since")
    until = None if until is None else day(until, "until")
    if since is not None and until is not None and since >= until:
        message = f"Nothing lies between since {since} and until {until}: the day of until is not part of the report."
        raise InvalidValue(message, param="until")
    async with database.read() as connection:
        rows = await store.report(connection, dimensions, since, until)
    return UsageReport(dimensions, tuple(rows), sum((row.sums for row in rows), Sums()))


def _dimensions(by: Sequence[str]) -> tuple[Dimension, ...]:
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        message = f"A report is by {', '.join(DIMENSIONS)}; not by {', '.join(map(quoted, unknown))}."
        raise InvalidValue(message, param="by")
    wanted = dict.fromkeys(by)
    return tuple(sorted((name for name in DIMENSIONS if name in wanted), key=list(wanted).index))
