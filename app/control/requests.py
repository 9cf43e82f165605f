"""Requests of the book and the log of refusals: pages, a search of both, and one of them with its corrections and its price."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import quoted
from app.control.people import user_ids_of
from app.control.projects import get_project
from app.core.pricing import Facts, PerImage, explicit
from app.core.request import Operation
from app.errors import NotFound
from app.store import prices, refusals, request_details, request_search
from app.store import requests as store
from app.store.engine import Database
from app.store.pages import Cursor, Page
from app.store.pictures import PictureRecord
from app.store.refusals import RefusalRecord
from app.store.request_search import FoundRequests, Position, RequestSearch
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
    request = await database.ask(store.find_request, request_id)
    if request is None:
        raise NotFound(f"There is no request {quoted(request_id)}. `imagegate requests list` shows them.", param="id")
    return request


async def show_request_or_refusal(database: Database, request_id: str) -> RequestRecord | RefusalRecord:
    """Return one request, or the refusal with this x-request-id. Raises NotFound."""
    async with database.read() as connection:
        found = await store.find_request(connection, request_id) or await refusals.find_refusal(connection, request_id)
    if found is None:
        message = (
            f"There is no request and no refusal {quoted(request_id)}. An answer that repeats an earlier one names that request in "
            "its header x-imagegate-request-id. A refusal is found a few seconds after it. Not found are refusals without a valid "
            "key, those folded into an equal one (beyond ten a minute of one key), dropped in a flood, or older than "
            f"{refusals.KEEP_DAYS} days: `imagegate requests list --refused --since yesterday` shows those around it, "
            "`imagegate requests list` shows requests."
        )
        raise NotFound(message, param="id")
    return found


async def search_requests(
    database: Database, wanted: RequestSearch, after: Position | None, limit: int, reader_id: str
) -> FoundRequests:
    """Find requests and refusals, newest first. Prompts are searched as far as the user `reader_id` may read them."""
    with_prompt = None
    if wanted.words:
        with_prompt = await database.ask(request_search.requests_with_words, wanted, reader_id)
    return await database.ask(request_search.search, wanted, after, limit, with_prompt)


@dataclass(frozen=True, slots=True)
class ListedRequest:
    """Request or refusal in a list. `key` is the name of its key, `corrected_micros` what corrections added to its cost, `source`
    the picture that an edit began with, where its reader has it."""

    record: RequestRecord | RefusalRecord
    key: str
    corrected_micros: int
    pictures: tuple[PictureRecord, ...]
    source: PictureRecord | None = None


async def listed(
    database: Database, records: Sequence[RequestRecord | RefusalRecord], reader_id: str
) -> list[ListedRequest]:
    """Add to requests and refusals what a list for the user `reader_id` shows of each."""
    ids = [each.id for each in records]
    async with database.read() as connection:
        keys = await request_details.key_names(connection, {each.api_key_id for each in records})
        corrected = await request_details.corrected_micros(connection, ids)
        kept = await request_details.pictures_of(connection, ids)
        edits = [each.id for each in records if each.operation == "edit"]
        sources = await request_details.sources_of(connection, edits, reader_id)
    return [
        ListedRequest(
            each,
            keys.get(each.api_key_id, ""),
            corrected.get(each.id, 0),
            tuple(kept.get(each.id, ())),
            sources.get(each.id),
        )
        for each in records
    ]


@dataclass(frozen=True, slots=True)
class Calculation:
    """Cost, or what is held, as a number of images at a price (micros), and the instant from which that price holds (Unix ms)."""

    images: int
    unit_micros: int
    from_ms: int


async def calculation_of(database: Database, request: RequestRecord) -> Calculation | None:
    """Find the price per image that makes up a request's cost, or what is held for it. None where it is by tokens, or where no
    price per image of that time comes to the amount."""
    async with database.read() as connection:
        model = (await prices.read_catalog(connection)).known.get(request.model)
    if model is None:
        return None
    images = request.n if request.cost_micros is None else max(request.images or 0, request.n)
    amount_micros = request.quote_micros if request.cost_micros is None else request.cost_micros
    facts = Facts(cast(Operation, request.operation), explicit(request.size), explicit(request.quality))
    named = model.prices.price_of(facts, request.reserved_at_ms)
    # The dearest that could apply is held, and booked where the answer leaves it open.
    others = (row for row in model.prices.at(request.reserved_at_ms) if row.operation in (None, request.operation))
    for price in (named, *others):
        if price is not None and isinstance(price.amount, PerImage) and price.amount.micros * images == amount_micros:
            return Calculation(images, price.amount.micros, price.from_ms)
    return None
