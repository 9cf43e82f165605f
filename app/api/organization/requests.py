"""/organization/requests: the book of requests, and decisions about those whose outcome is unknown (an extension)."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi import Query as QueryField

from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.reading import LIMIT, After, JsonBody, Limit
from app.api.schemas.base import ListOut
from app.api.schemas.requests import RequestDecision, RequestDetailOut, RequestOut, RequestSettle
from app.control import decisions, requests
from app.control.decisions import DecisionReason, Decisions
from app.control.requests import RequestFilter
from app.store.ledger.columns import State
from app.store.pages import Cursor

router = APIRouter(prefix="/requests", tags=["Requests (extension)"])
_Text = Annotated[str | None, QueryField(max_length=200)]
_Instant = Annotated[int | None, QueryField(ge=0, le=32_503_680_000, description="Unix seconds.")]


@router.get("")
async def list_requests(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    user: Annotated[_Text, QueryField(description="Only of this user or service account: name or id.")] = None,
    project: Annotated[_Text, QueryField(description="Only of this project: name or id.")] = None,
    key: Annotated[_Text, QueryField(description="Only of the key with this id.")] = None,
    model: _Text = None,
    state: State | None = None,
    since: _Instant = None,
    until: _Instant = None,
) -> ListOut[RequestOut]:
    """List requests by time of reservation, newest first; `since` is inclusive, `until` exclusive."""
    narrowed = RequestFilter(
        user=user,
        project=project,
        api_key_id=key,
        model=model,
        state=state,
        since_ms=None if since is None else since * 1000,
        until_ms=None if until is None else until * 1000,
    )
    page = await requests.page_of_requests(caller.database, Cursor(after, limit, descending=True), narrowed)
    return ListOut[RequestOut].of_page(page, RequestOut.of)


@router.get("/{request_id}")
async def retrieve_request(caller: Admin, request_id: str) -> RequestDetailOut:
    """Retrieve a request with its corrections and decisions."""
    return await _shown(caller, request_id)


@router.post("/{request_id}/settle")
async def settle_request(
    caller: AdminWriter, request_id: str, body: Annotated[RequestSettle, Depends(JsonBody(RequestSettle))]
) -> RequestDetailOut:
    """Settle an unknown request that the relay has charged."""
    await decisions.settle_by_hand(_decisions(caller), request_id, _reason(caller, body), body.cost_micros)
    return await _shown(caller, request_id)


@router.post("/{request_id}/release")
async def release_request(
    caller: AdminWriter, request_id: str, body: Annotated[RequestDecision, Depends(JsonBody(RequestDecision))]
) -> RequestDetailOut:
    """Release the holds of an unknown request that the relay has not charged. If its charge turns up after all, reconciliation
    posts a correction."""
    await decisions.release_by_hand(_decisions(caller), request_id, _reason(caller, body))
    return await _shown(caller, request_id)


@router.post("/{request_id}/write_off")
async def write_off_request(
    caller: AdminWriter, request_id: str, body: Annotated[RequestDecision, Depends(JsonBody(RequestDecision))]
) -> RequestDetailOut:
    """Write off an unknown request whose outcome will never be known. It is booked at its quote, with no image."""
    await decisions.write_off(_decisions(caller), request_id, _reason(caller, body))
    return await _shown(caller, request_id)


def _decisions(caller: Administrator) -> Decisions:
    return Decisions(caller.database, caller.gateway.ledger, caller.gateway.zone)


def _reason(caller: Administrator, body: RequestDecision) -> DecisionReason:
    by = f"{caller.actor.name} (command line)" if caller.actor.kind == "cli" else caller.actor.name
    return DecisionReason(by, body.reason)


async def _shown(caller: Administrator, request_id: str) -> RequestDetailOut:
    request = await requests.show_request(caller.database, request_id)
    corrections = await requests.corrections_of(caller.database, request_id)
    return RequestDetailOut.with_corrections(request, corrections)
