"""Requests of the book: pages, and one with its corrections."""

from dataclasses import dataclass

from app.control.names import quoted
from app.control.people import get_user
from app.control.projects import get_project
from app.errors import NotFound
from app.store import requests as store
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.columns import State
from app.store.ledger.corrections import CorrectionRecord
from app.store.pages import Cursor, Page
from app.store.requests import RequestRecord


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Filter of requests; None is any. `user` and `project` are names or ids; `since_ms` is inclusive, `until_ms` exclusive."""

    user: str | None = None
    project: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    state: State | None = None
    since_ms: int | None = None
    until_ms: int | None = None


async def page_of_requests(database: Database, cursor: Cursor, wanted: RequestFilter) -> Page[RequestRecord]:
    """List requests by the time of their reservation. Raises NotFound for user and project, InvalidValue for the cursor."""
    async with database.read() as connection:
        narrowed = {
            "user_id": None if wanted.user is None else (await get_user(connection, wanted.user)).id,
            "project_id": None if wanted.project is None else (await get_project(connection, wanted.project)).id,
            "api_key_id": wanted.api_key_id,
            "model": wanted.model,
            "state": wanted.state,
        }
        return await store.page_of_requests(connection, cursor, narrowed, wanted.since_ms, wanted.until_ms)


async def show_request(database: Database, request_id: str) -> RequestRecord:
    """Return one request. Raises NotFound."""
    async with database.read() as connection:
        request = await store.find_request(connection, request_id)
    if request is None:
        raise NotFound(f"There is no request {quoted(request_id)}. `imagegate requests list` shows them.", param="id")
    return request


async def corrections_of(database: Database, request_id: str) -> list[CorrectionRecord]:
    """List the corrections and decisions of a request, oldest first."""
    async with database.read() as connection:
        return await corrections.of_request(connection, request_id)
