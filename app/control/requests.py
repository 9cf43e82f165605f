"""Requests of the book and the log of refusals: pages, and one of them with its corrections."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import normalized, quoted
from app.control.projects import get_project
from app.errors import NotFound
from app.store import organization, refusals
from app.store import requests as store
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.columns import State
from app.store.ledger.corrections import CorrectionRecord
from app.store.pages import Cursor, Page
from app.store.refusals import RefusalRecord
from app.store.requests import RequestConditions, RequestRecord


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Filter of requests and refusals; None is any. `user` is a name, id or e-mail address, `project` a name or id; `model` may be
    an alias; `since_ms` is inclusive, `until_ms` exclusive. `refused` is only those that the relay or the provider refused. The
    log of refusals has neither `state` nor `refused`."""

    user: str | None = None
    project: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    state: State | None = None
    http_status: int | None = None
    error_code: str | None = None
    refused: bool = False
    since_ms: int | None = None
    until_ms: int | None = None

    async def conditions(self, connection: AsyncConnection) -> RequestConditions:
        """Look up the names. Raises NotFound for user and project."""
        return RequestConditions(
            user_ids=None if self.user is None else await _user_ids(connection, self.user),
            project_id=None if self.project is None else (await get_project(connection, self.project)).id,
            api_key_id=self.api_key_id,
            model=self.model,
            state=self.state,
            http_status=self.http_status,
            error_code=self.error_code,
            refused=self.refused,
            since_ms=self.since_ms,
            until_ms=self.until_ms,
        )


async def page_of_requests(database: Database, cursor: Cursor, wanted: RequestFilter) -> Page[RequestRecord]:
    """List requests by the time of their reservation. Raises NotFound for user and project, InvalidValue for the cursor."""
    async with database.read() as connection:
        return await store.page_of_requests(connection, cursor, await wanted.conditions(connection))


async def page_of_refusals(database: Database, cursor: Cursor, wanted: RequestFilter) -> Page[RefusalRecord]:
    """List refusals by time. Raises NotFound for user and project, InvalidValue for the cursor."""
    async with database.read() as connection:
        return await refusals.page_of_refusals(connection, cursor, await wanted.conditions(connection))


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


async def _user_ids(connection: AsyncConnection, reference: str) -> Sequence[str]:
    """Find a user, service account or deleted user by id, or people by name or e-mail address, which need not be unique."""
    if (user := await organization.find_user(connection, normalized(reference))) is not None:
        return (user.id,)
    if not (people := await organization.find_user_by_email(connection, reference.strip())):
        raise NotFound(f"There is no user {quoted(reference)}. `imagegate users list` names them all.", param="user")
    return [user.id for user in people]


async def corrections_of(database: Database, request_id: str) -> list[CorrectionRecord]:
    """List the corrections and decisions of a request, oldest first."""
    async with database.read() as connection:
        return await corrections.of_request(connection, request_id)
