"""Queries of requests: with names for the administration API, and without for replay, collection and recovery."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.request import Operation, ResponseFormat
from app.store.engine import Database
from app.store.ledger.columns import IN_PROGRESS, State
from app.store.pages import Cursor, Page, read_page
from app.store.tables import projects, requests, usage, users


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """Request with its times and cost; fields of states it has not reached are None.

    Each field is a column of the table, except `user` and `project`, the names of those ids.
    """

    id: str
    state: str
    api_key_id: str
    user_id: str
    user: str
    project_id: str
    project: str
    operation: str
    model: str
    asked_model: str | None
    n: int
    size: str | None
    quality: str | None
    response_format: str | None
    stream: bool
    prompt_chars: int
    quote_micros: int
    cost_micros: int | None
    images: int | None
    flag: str | None
    input_tokens: int | None
    output_tokens: int | None
    http_status: int | None
    error_code: str | None
    error: dict[str, Any] | None
    relay: str | None
    upstream_request_id: str | None
    upstream_status: int | None
    upstream_code: str | None
    upstream_message: str | None
    reserved_at_ms: int
    dispatched_at_ms: int | None
    ended_at_ms: int | None
    upstream_ms: int | None
    duplicate_of: str | None
    link_only: int | None
    via: str | None

    @property
    def error_message(self) -> str | None:
        """Message that the client got in place of images; None where it got images or no answer."""
        return None if self.error is None else str(self.error["message"])

    @property
    def total_ms(self) -> int | None:
        return None if self.ended_at_ms is None else self.ended_at_ms - self.reserved_at_ms


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """Request for replay, collection and recovery. `error` is the error sent to its client, None where it got images.

    Each field is a column of the table.
    """

    id: str
    state: State
    api_key_id: str
    operation: Operation
    model: str
    asked_model: str | None
    n: int
    size: str | None
    quality: str | None
    response_format: ResponseFormat | None
    stream: bool
    fingerprint: bytes | None
    flag: str | None
    error: dict[str, Any] | None
    quote_micros: int
    cost_micros: int | None
    images: int | None
    relay: str | None
    reserved_at_ms: int
    dispatched_at_ms: int | None
    ended_at_ms: int | None
    duplicate_of: str | None

    @property
    def ended(self) -> bool:
        return self.state not in IN_PROGRESS

    @property
    def aliased_model(self) -> str | None:
        """Model that the alias in the request stands for; None when the client named the model itself."""
        return None if self.asked_model is None else self.model


@dataclass(frozen=True, slots=True)
class StoredRequests:
    """Requests of one database. Raises StoreUnavailable."""

    database: Database

    async def find(self, request_id: str) -> StoredRequest | None:
        return await self._one(requests.c.id == request_id)

    async def by_idempotency_key(self, api_key_id: str, idempotency_key: str) -> StoredRequest | None:
        """Return the one request that holds this idempotency key of this API key."""
        return await self._one(requests.c.api_key_id == api_key_id, requests.c.idempotency_key == idempotency_key)

    async def _one(self, *where: sa.ColumnElement[bool]) -> StoredRequest | None:
        found = await self.database.ask(stored, select_stored().where(*where))
        return found[0] if found else None


def select_stored() -> sa.Select[Any]:
    """Return a SELECT of StoredRequest's columns, for a caller to add conditions to."""
    return sa.select(*(requests.c[name] for name in StoredRequest.__slots__))


async def stored(connection: AsyncConnection, select: sa.Select[Any]) -> list[StoredRequest]:
    """Run a SELECT made of `select_stored`."""
    rows = (await connection.execute(select)).mappings()
    return [StoredRequest(**{**row, "stream": bool(row["stream"])}) for row in rows]


@dataclass(frozen=True, slots=True)
class RequestConditions:
    """Filter of requests or refusals; None is any. `refused` is only those that the relay or the provider refused. `model` may be
    an alias. `since_ms` is inclusive, `until_ms` exclusive."""

    user_ids: Sequence[str] | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    state: State | None = None
    http_status: int | None = None
    error_code: str | None = None
    refused: bool = False
    since_ms: int | None = None
    until_ms: int | None = None

    def where(
        self, table: sa.Table, at_ms: sa.ColumnElement[int], models: Sequence[sa.ColumnElement[Any]]
    ) -> Iterator[sa.ColumnElement[bool]]:
        """Yield the conditions on `table`. `at_ms` is its column of time; one of the columns `models` has to be the model."""
        for name in ("project_id", "api_key_id", "state", "http_status", "error_code"):
            if (value := getattr(self, name)) is not None:
                yield table.c[name] == value
        if self.refused:  # Without a status nobody was answered: the client had hung up, or the process died.
            yield sa.and_(table.c.state == "released", table.c.http_status.is_not(None))
        if self.user_ids is not None:
            yield table.c.user_id.in_(self.user_ids)
        if self.model is not None:
            yield sa.or_(*(column == self.model for column in models))
        if self.since_ms is not None:
            yield at_ms >= self.since_ms
        if self.until_ms is not None:
            yield at_ms < self.until_ms


async def page_of_requests(
    connection: AsyncConnection, cursor: Cursor, conditions: RequestConditions
) -> Page[RequestRecord]:
    """Read a page of requests by reservation time; a model is also found by its alias. Raises InvalidValue for the cursor."""
    columns = requests.c
    where = conditions.where(requests, columns.reserved_at_ms, (columns.model, columns.asked_model))
    return await read_page(connection, _SELECT.where(*where), cursor, _record, (columns.reserved_at_ms, columns.id))


async def find_request(connection: AsyncConnection, request_id: str) -> RequestRecord | None:
    found = await _records(connection, _SELECT.where(requests.c.id == request_id))
    return found[0] if found else None


async def requests_by_id(connection: AsyncConnection, request_ids: Sequence[str]) -> list[RequestRecord]:
    """Read those of these requests that there are, in no order."""
    return await _records(connection, _SELECT.where(requests.c.id.in_(request_ids)))


_COLUMNS = [name for name in RequestRecord.__slots__ if name not in ("user", "project")]
_SELECT = (
    sa.select(*(requests.c[name] for name in _COLUMNS), users.c.name.label("user"), projects.c.name.label("project"))
    .join(users, users.c.id == requests.c.user_id)
    .join(projects, projects.c.id == requests.c.project_id)
)


async def _records(connection: AsyncConnection, select: sa.Select[Any]) -> list[RequestRecord]:
    return [_record(row) for row in (await connection.execute(select)).mappings()]


def _record(row: sa.RowMapping) -> RequestRecord:
    return RequestRecord(**{**row, "stream": bool(row["stream"])})


async def any_purchase(connection: AsyncConnection) -> bool:
    """True once a picture was paid for."""
    return (await connection.execute(sa.select(sa.literal(1)).select_from(usage).limit(1))).first() is not None
