"""Requests of the book and the log of refusals: pages, and one of them with its corrections."""

from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import quoted
from app.control.people import user_ids_of
from app.control.projects import get_project
from app.errors import NotFound
from app.store import refusals
from app.store import requests as store
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.corrections import CorrectionRecord
from app.store.pages import Cursor, Page
from app.store.refusals import RefusalRecord
from app.store.requests import RequestConditions, RequestRecord


@dataclass(frozen=True, slots=True)
class RequestFilter(RequestConditions):
    """Conditions of a list with names to look up: `user` is a name, id or e-mail address, `project` a name or id. The log of
    refusals has neither `state` nor `refused`."""

    user: str | None = None
    project: str | None = None

    async def resolved(self, connection: AsyncConnection) -> RequestConditions:
        """Look up the names. Raises NotFound for user and project."""
        user_ids = self.user_ids if self.user is None else await user_ids_of(connection, self.user)
        project_id = self.project_id if self.project is None else (await get_project(connection, self.project)).id
        return replace(self, user_ids=user_ids, project_id=project_id)


async def page_of_requests(database: Database, cursor: Cursor, wanted: RequestFilter) -> Page[RequestRecord]:
    """List requests by the time of their reservation. Raises NotFound for user and project, InvalidValue for the cursor."""
    async with database.read() as connection:
        return await store.page_of_requests(connection, cursor, await wanted.resolved(connection))


async def page_of_refusals(database: Database, cursor: Cursor, wanted: RequestFilter) -> Page[RefusalRecord]:
    """List refusals by time. Raises NotFound for user and project, InvalidValue for the cursor."""
    async with database.read() as connection:
        return await refusals.page_of_refusals(connection, cursor, await wanted.resolved(connection))


async def show_request(database: Database, request_id: str) -> RequestRecord:
    """Return one request. Raises NotFound."""
    async with database.read() as connection:
        request = await store.find_request(connection, request_id)
    if request is None:
        raise NotFound(f"There is no request {quoted(request_id)}. `imagegate requests list` shows them.", param="id")
    return request


async def show_request_or_refusal(database: Database, request_id: str) -> RequestRecord | RefusalRecord:
    """Return one request, or the refusal with this x-request-id. Raises NotFound."""
    async with database.read() as connection:
        found = await store.find_request(connection, request_id) or await refusals.find_refusal(connection, request_id)
    if found is None:
        message = (
            f"There is no request and no refusal {quoted(request_id)}. A refusal is found a few seconds after it. Not found are "
            "refusals without a valid key, those folded into an equal one (beyond ten a minute of one key), dropped in a flood, or "
            f"older than {refusals.KEEP_DAYS} days: `imagegate requests list --refused --since yesterday` shows those around it, "
            "`imagegate requests list` shows requests."
        )
        raise NotFound(message, param="id")
    return found


async def corrections_of(database: Database, request_id: str) -> list[CorrectionRecord]:
    """List the corrections and decisions of a request, oldest first."""
    async with database.read() as connection:
        return await corrections.of_request(connection, request_id)
