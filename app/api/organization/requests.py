"""/organization/requests: the book of requests, and decisions about those whose outcome is unknown (an extension)."""

from fastapi import APIRouter

from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.organization.request_filters import BookFilter
from app.api.schemas.base import ListOut
from app.api.schemas.requests import RefusalOut, RequestDecision, RequestDetailOut, RequestOut, RequestSettle
from app.control import decisions, requests
from app.control.decisions import DecisionReason, Decisions
from app.store.ledger.corrections import corrections_of
from app.store.pages import Cursor
from app.store.refusals import RefusalRecord
from app.store.request_details import refused_dispatches_of
from app.store.requests import RequestRecord

router = APIRouter(prefix="/requests", tags=["Requests (extension)"])


@router.get("")
async def list_requests(
    caller: Admin, wanted: BookFilter, after: After = None, limit: Limit = LIMIT
) -> ListOut[RequestOut]:
    """List requests by time of reservation, newest first; `since` is inclusive, `until` exclusive. Those refused before they were
    admitted are in `/organization/refusals`."""
    cursor = Cursor(after, limit, descending=True)
    page = await requests.page_of_requests(caller.database, cursor, wanted)
    return ListOut[RequestOut].of_page(page, RequestOut.of)


@router.get("/{request_id}")
async def retrieve_request(caller: Admin, request_id: str) -> RequestDetailOut | RefusalOut:
    """Retrieve a request with its corrections and decisions, or the refusal with this `x-request-id`."""
    found = await requests.show_request_or_refusal(caller.database, request_id)
    return RefusalOut.of(found) if isinstance(found, RefusalRecord) else await _detailed(caller, found)


@router.post("/{request_id}/settle")
async def settle_request(caller: AdminWriter, request_id: str, body: Body[RequestSettle]) -> RequestDetailOut:
    """Settle an unknown request that the relay has charged."""
    await decisions.settle_by_hand(_decisions(caller), request_id, _reason(caller, body), body.cost_micros)
    return await _shown(caller, request_id)


@router.post("/{request_id}/release")
async def release_request(caller: AdminWriter, request_id: str, body: Body[RequestDecision]) -> RequestDetailOut:
    """Release the holds of an unknown request that the relay has not charged. If its charge turns up after all, reconciliation
    posts a correction."""
    await decisions.release_by_hand(_decisions(caller), request_id, _reason(caller, body))
    return await _shown(caller, request_id)


@router.post("/{request_id}/write_off")
async def write_off_request(caller: AdminWriter, request_id: str, body: Body[RequestDecision]) -> RequestDetailOut:
    """Write off an unknown request whose outcome will never be known. It is booked at the most that it can cost at its relay,
    with no image."""
    await decisions.write_off(_decisions(caller), request_id, _reason(caller, body))
    return await _shown(caller, request_id)


def _decisions(caller: Administrator) -> Decisions:
    return Decisions(caller.database, caller.gateway.ledger, caller.gateway.zone)


def _reason(caller: Administrator, body: RequestDecision) -> DecisionReason:
    by = f"{caller.actor.name} (command line)" if caller.actor.kind == "cli" else caller.actor.name
    return DecisionReason(by, body.reason)


async def _shown(caller: Administrator, request_id: str) -> RequestDetailOut:
    return await _detailed(caller, await requests.show_request(caller.database, request_id))


async def _detailed(caller: Administrator, request: RequestRecord) -> RequestDetailOut:
    corrections = await caller.database.ask(corrections_of, request.id)
    refused = await caller.database.ask(refused_dispatches_of, request.id)
    return RequestDetailOut.with_details(request, corrections, refused)
