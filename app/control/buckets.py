"""Usage and costs in buckets of time, for the administration API and for API keys about their own user."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Literal, NamedTuple

from app.core.intervals import HOUR_MS
from app.errors import InvalidValue
from app.store import buckets as store
from app.store.buckets import BucketRange, BucketSums, Row, UsageFilter
from app.store.engine import Database
from app.store.usage import Sums

_COST = 2 + Sums.__slots__.index("cost_micros")
Width = Literal["1m", "1h", "1d"]
WIDTHS_MS: dict[Width, int] = {"1m": 60_000, "1h": HOUR_MS, "1d": 24 * HOUR_MS}


@dataclass(frozen=True, slots=True)
class Period:
    """Time of a usage query in seconds since the epoch (`end_s` None: up to now), and its maximum of buckets.

    `page` is the `next_page` of the answer before.
    """

    start_s: int
    end_s: int | None
    width: Width
    buckets_max: int
    page: str | None = None


class GroupUsage(NamedTuple):
    """Usage of one group in a bucket; `values` are those of the fields grouped by, in their order. Without `with_tokens` the
    sums of tokens are 0."""

    values: tuple[str, ...]
    sums: Sums


@dataclass(frozen=True, slots=True)
class UsageBucket:
    """Usage from `start_ms` (inclusive) to `end_ms` (exclusive). `rows` are sorted by cost, highest first; `groups` has the
    values of each group by the number in the rows."""

    start_ms: int
    end_ms: int
    rows: Sequence[Row]
    groups: Mapping[int, tuple[str, ...]]

    @property
    def portions(self) -> tuple[GroupUsage, ...]:
        """Rows as objects, built at each access. Slow: a month by key and size has tens of thousands."""
        return tuple(GroupUsage(self.groups[number], Sums(*sums)) for _, number, *sums in self.rows)


@dataclass(frozen=True, slots=True)
class BucketPage:
    """Page of buckets, empty ones included. `groups` has the values of each group by its number; `next_page` is None at the end."""

    buckets: tuple[UsageBucket, ...]
    groups: Mapping[int, tuple[str, ...]]
    next_page: str | None


async def read_buckets(database: Database, period: Period, filter: UsageFilter) -> BucketPage:
    """Read a page of buckets, which begin at minutes, hours or days of UTC.

    The first bucket begins with the hour of the start (the minute, for minutes) and the last ends with the hour of the end:
    usage is not stored in finer steps. An empty period has no buckets. Raises InvalidValue for the page.
    """
    whole = _span(period, await database.now_ms())
    if whole.start_ms >= whole.end_ms:
        return BucketPage((), {}, None)
    if period.page is not None:
        whole = replace(whole, start_ms=_continued(period.page, whole))
    bounds = list(_bounds(whole, period.buckets_max))
    span = replace(whole, end_ms=bounds[-1][1])
    found = await database.ask(store.sums, span, filter)
    return BucketPage(tuple(_filled(bounds, found, span)), found.groups, _next_page(span.end_ms, whole.end_ms))


def _span(period: Period, now_ms: int) -> BucketRange:
    width_ms = WIDTHS_MS[period.width]
    kept_ms = min(width_ms, HOUR_MS)
    start_ms = period.start_s * 1000 // kept_ms * kept_ms
    if period.end_s is None:
        return BucketRange(start_ms, now_ms // width_ms * width_ms + width_ms, width_ms)
    return BucketRange(start_ms, -(-period.end_s * 1000 // kept_ms) * kept_ms, width_ms)


def _continued(page: str, span: BucketRange) -> int:
    digits = page.removeprefix("page_")
    at_ms = int(digits) * 1000 if digits.isascii() and digits.isdigit() and len(digits) <= 12 else -1
    if page == digits or at_ms % span.width_ms or not span.start_ms < at_ms < span.end_ms:
        message = "This page does not continue that question: send next_page as it came, and all else as before."
        raise InvalidValue(message, param="page")
    return at_ms


def _next_page(end_ms: int, last_ms: int) -> str | None:
    return f"page_{end_ms // 1000}" if end_ms < last_ms else None


def _bounds(span: BucketRange, buckets_max: int) -> Iterator[tuple[int, int]]:
    start_ms = span.start_ms
    for _ in range(buckets_max):
        if start_ms >= span.end_ms:
            return
        end_ms = min(start_ms // span.width_ms * span.width_ms + span.width_ms, span.end_ms)
        yield start_ms, end_ms
        start_ms = end_ms


def _filled(bounds: list[tuple[int, int]], found: BucketSums, span: BucketRange) -> Iterator[UsageBucket]:
    # Sorted here for each bucket: a sort of all buckets takes the database four times as long.
    by_bucket = {
        at_ms: sorted(rows, key=itemgetter(_COST), reverse=True)
        for at_ms, rows in groupby(found.rows, key=itemgetter(0))
    }
    for start_ms, end_ms in bounds:
        rows = by_bucket.get(start_ms // span.width_ms * span.width_ms, ())
        yield UsageBucket(start_ms, end_ms, rows, found.groups)
