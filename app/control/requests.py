"""The book of requests, for reading."""

from app.control.names import shown
from app.control.people import the_user
from app.errors import InvalidValue, NotFound
from app.store import requests as store
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.corrections import CorrectionRecord
from app.store.requests import RequestRecord

COUNT_MAX = 1_000


async def list_requests(database: Database, user: str | None = None, count: int = 20) -> list[RequestRecord]:
    """The newest `count` (1 to 1,000), newest first; `user` is a name or id. Raises InvalidValue, NotFound."""
    if not 1 <= count <= COUNT_MAX:
        raise InvalidValue(f"A list has 1 to {COUNT_MAX} requests; not {count}.", param="limit")
    async with database.read() as connection:
        user_id = None if user is None else (await the_user(connection, user)).id
        return await store.newest(connection, user_id, count)


async def show_request(database: Database, request_id: str) -> RequestRecord:
    """Raises NotFound."""
    async with database.read() as connection:
        request = await store.find_request(connection, request_id)
    if request is None:
        raise NotFound(f"There is no request {shown(request_id)}. `imagegate requests list` shows them.", param="id")
    return request


async def corrections_of(database: Database, request_id: str) -> list[CorrectionRecord]:
    """What was added to the request and decided about it since, oldest first."""
    async with database.read() as connection:
        return await corrections.of_request(connection, request_id)
