"""Search of requests and refusals together, newest first. A step reads a bounded number of rows, whatever is searched for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import HOUR_MS
from app.store.ledger.columns import IN_PROGRESS
from app.store.pages import Cursor
from app.store.picture_lists import PictureFilter, page_of_pictures
from app.store.refusals import RefusalRecord, refusals_by_id
from app.store.requests import RequestRecord, requests_by_id
from app.store.tables import corrections, is_unresolved, pictures, refusal_log, requests

WINDOW_ROWS = 20_000
"""Most rows of a table that one step looks at. Conditions that no index answers are checked on these only."""
PICTURES_MAX = 500
"""Most pictures by whose prompts a search for words finds requests, the newest first."""
Outcome = Literal["booked", "refused", "unknown", "open", "given_up"]
"""Outcome of a request: charged, also where that turned out later; answered with an error before anything was charged, by the
gateway or the relay; charged or not, nobody knows; under way; ended before anybody was answered."""


class Position(NamedTuple):
    """Place in the list: time of the reservation or of the refusal (Unix ms), and id."""

    at_ms: int
    id: str


@dataclass(frozen=True, slots=True)
class PromptReader:
    """Viewer of the metadata of all pictures, who reads the prompts of their own and of shared ones."""

    user_id: str

    def listed(self, *, shared: bool) -> sa.ColumnElement[bool]:  # noqa: ARG002  (the list is everybody's)
        return sa.true()

    def seen(self) -> sa.ColumnElement[bool]:
        return sa.true()

    def read(self) -> sa.ColumnElement[bool]:
        return sa.or_(pictures.c.user_id == self.user_id, pictures.c.visibility == "project")


@dataclass(frozen=True, slots=True)
class RequestSearch:
    """Conditions of a search; None is any. `size` and `quality` may be empty, for requests that have none. The least cost is what
    is booked or held (micros), the least duration that from reservation to end (ms). `since_ms` is inclusive, `until_ms` exclusive.
    Each of `words` has to be in a refusal's message, or in the prompt of a kept picture that the reader may read."""

    user_ids: tuple[str, ...] | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    size: str | None = None
    quality: str | None = None
    error_code: str | None = None
    outcome: Outcome | None = None
    cost_min_micros: int | None = None
    total_min_ms: int | None = None
    words: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def finds_refusals(self) -> bool:
        """False where a condition holds for no refusal."""
        only_booked = (self.size, self.quality, self.cost_min_micros, self.total_min_ms)
        return self.outcome in (None, "refused") and all(value is None for value in only_booked)

    def indexed(self, table: sa.Table, at_ms: sa.ColumnElement[int]) -> Iterator[sa.ColumnElement[bool]]:
        """Yield the conditions that an index answers in the order of time. Of several people it does not."""
        if self.user_ids is not None and len(self.user_ids) == 1:
            yield table.c.user_id == self.user_ids[0]
        if self.api_key_id is not None:
            yield table.c.api_key_id == self.api_key_id
        if self.since_ms is not None:
            yield at_ms >= self.since_ms
        if self.until_ms is not None:
            yield at_ms < self.until_ms

    def others(self, columns: Any) -> Iterator[sa.ColumnElement[bool]]:
        """Yield the other conditions that requests and refusals share."""
        for name in ("project_id", "model", "error_code"):
            if (value := getattr(self, name)) is not None:
                yield columns[name] == value
        if self.user_ids is not None and len(self.user_ids) != 1:
            yield columns.user_id.in_(self.user_ids)


@dataclass(frozen=True, slots=True)
class FoundRequests:
    """Step of a search. `following` is the place to go on from, None at the end; with fewer records than asked for it is where the
    step ended after `WINDOW_ROWS`."""

    records: tuple[RequestRecord | RefusalRecord, ...]
    following: Position | None


async def search(
    connection: AsyncConnection,
    wanted: RequestSearch,
    after: Position | None,
    limit: int,
    with_prompt: Sequence[str] | None = None,
) -> FoundRequests:
    """Find up to `limit` requests and refusals beyond `after`. `with_prompt` are the requests with the words, None where none are
    searched for."""
    sources = [_requests_source(wanted, with_prompt)]
    if wanted.finds_refusals:
        sources.append(_refusals_source(wanted))
    merged: list[Position] = []
    ends: list[Position] = []
    for source in sources:
        found, end = await _step(connection, source, after, limit + 1)
        merged += found
        ends += [] if end is None else [end]
    complete = max(ends, default=None)  # Older than this, a source may have rows that were not looked at.
    merged = sorted((each for each in merged if complete is None or each >= complete), reverse=True)
    following = merged[limit - 1] if len(merged) > limit else complete
    return FoundRequests(await _records(connection, [each.id for each in merged[:limit]]), following)


async def requests_with_words(connection: AsyncConnection, wanted: RequestSearch, reader_id: str) -> list[str]:
    """List the ids of requests with the words in a prompt that the reader may read, by their newest `PICTURES_MAX` pictures."""
    filters = PictureFilter(
        model=wanted.model,
        project_id=wanted.project_id,
        user_ids=wanted.user_ids,
        words=wanted.words,
        since_ms=wanted.since_ms,
        until_ms=None
        if wanted.until_ms is None
        else wanted.until_ms + HOUR_MS,  # Bought then, and made a little later.
    )
    cursor = Cursor(limit=PICTURES_MAX, descending=True)
    page = await page_of_pictures(connection, PromptReader(reader_id), cursor, filters)
    return list(dict.fromkeys(each.record.request_id for each in page.records))


@dataclass(frozen=True, slots=True)
class _Source:
    """Rows of one table: `select` has those that an index finds, with the columns `at_ms` and `id` first; `where` makes the
    conditions on them that no index answers."""

    select: sa.Select[Any]
    order: tuple[sa.ColumnElement[int], sa.ColumnElement[str]]
    where: Any = None


async def _step(
    connection: AsyncConnection, source: _Source, after: Position | None, limit: int
) -> tuple[list[Position], Position | None]:
    """Find positions, and where the step ended; None at the end of the table."""
    rows = source.select.order_by(*(column.desc() for column in source.order))
    if after is not None:
        at_ms, id = source.order
        values = sa.literal(after.at_ms, at_ms.type), sa.literal(after.id, id.type)
        rows = rows.where(sa.tuple_(*source.order) < sa.tuple_(*values))
    window = rows.limit(WINDOW_ROWS).subquery()
    conditions = [] if source.where is None else list(source.where(window.c))
    if not conditions:
        found = await _positions(connection, rows.limit(limit))
        return found, found[-1] if len(found) == limit else None
    select = sa.select(window.c.at_ms, window.c.id).where(*conditions)
    found = await _positions(connection, select.order_by(window.c.at_ms.desc(), window.c.id.desc()).limit(limit))
    if len(found) == limit:
        return found, found[-1]
    last = rows.with_only_columns(*source.order).offset(WINDOW_ROWS - 1).limit(1)
    ends = await _positions(connection, last)
    return found, ends[0] if ends else None


async def _positions(connection: AsyncConnection, select: sa.Select[*tuple[Any, ...]]) -> list[Position]:
    return [Position(int(row[0]), str(row[1])) for row in await connection.execute(select)]


def _requests_source(wanted: RequestSearch, with_prompt: Sequence[str] | None) -> _Source:
    columns = requests.c
    indexed = [*wanted.indexed(requests, columns.reserved_at_ms)]
    if wanted.outcome == "unknown":
        indexed += [is_unresolved, columns.state == "unknown"]
    elif wanted.outcome == "open":
        indexed += [is_unresolved, columns.state.in_(IN_PROGRESS)]
    if with_prompt is not None:
        indexed.append(columns.id.in_(with_prompt))
    names = ("user_id", "project_id", "model", "size", "quality", "error_code", "state", "http_status", "ended_at_ms")
    selected = (
        columns.reserved_at_ms.label("at_ms"),
        columns.id,
        *columns[names],
        *columns["cost_micros", "quote_micros"],
    )

    def conditions(rows: Any) -> Iterator[sa.ColumnElement[bool]]:
        yield from wanted.others(rows)
        yield from _of_booked(wanted, rows)

    return _Source(sa.select(*selected).where(*indexed), (columns.reserved_at_ms, columns.id), conditions)


def _of_booked(wanted: RequestSearch, rows: Any) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the conditions that only requests in the book have."""
    for name in ("size", "quality"):
        if (value := getattr(wanted, name)) is not None:
            yield sa.func.coalesce(rows[name], "") == value
    if wanted.cost_min_micros is not None:
        held = sa.case((rows.state == "released", 0), else_=rows.quote_micros)
        yield sa.func.coalesce(rows.cost_micros, held) >= wanted.cost_min_micros
    if wanted.total_min_ms is not None:
        yield rows.ended_at_ms - rows.at_ms >= wanted.total_min_ms
    is_released = rows.state == "released"
    match wanted.outcome:
        case "booked":
            late = sa.exists().where(corrections.c.request_id == rows.id, corrections.c.requests != 0)
            yield sa.or_(rows.state == "settled", sa.and_(is_released, late))
        case "refused":
            yield sa.and_(is_released, rows.http_status.is_not(None))
        case "given_up":
            yield sa.and_(is_released, rows.http_status.is_(None))


def _refusals_source(wanted: RequestSearch) -> _Source:
    columns = refusal_log.c
    names = ("user_id", "project_id", "model", "error_code", "message")
    selected = (columns.at_ms, columns.id, *columns[names])

    def conditions(rows: Any) -> Iterator[sa.ColumnElement[bool]]:
        yield from wanted.others(rows)
        for word in wanted.words:
            yield rows.message.icontains(word, autoescape=True)

    select = sa.select(*selected).where(*wanted.indexed(refusal_log, columns.at_ms))
    return _Source(select, (columns.at_ms, columns.id), conditions)


async def _records(connection: AsyncConnection, ids: Sequence[str]) -> tuple[RequestRecord | RefusalRecord, ...]:
    found: dict[str, RequestRecord | RefusalRecord] = {}
    if ids:
        found |= {each.id: each for each in await refusals_by_id(connection, ids)}
        found |= {each.id: each for each in await requests_by_id(connection, ids)}
    return tuple(found[id] for id in ids if id in found)
