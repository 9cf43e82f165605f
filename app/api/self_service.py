"""Routes for every API key: the key and its limits, its owner's usage and costs, and the quote for a request."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from app.api import openapi
from app.api.body import read_quote
from app.api.deps import Caller, Wired, body_caps, counted_own_call, open_bodies
from app.api.organization.reading import QueryString
from app.api.organization.usage_answers import costs_answer, images_answer
from app.api.organization.usage_queries import CostsQuery, ImagesQuery
from app.api.schemas.base import EXTENSION
from app.api.schemas.self_service import OwnKeyOut, QuoteOut
from app.api.schemas.usage import CostsOut, ImagesUsageOut
from app.control import keys
from app.control.quotes import LimitReader
from app.core.grants import Grant
from app.errors import PermissionDenied
from app.wiring import Gateway

UsageQuery = TypeVar("UsageQuery", ImagesQuery, CostsQuery)
_QUOTE_BODY = {"requestBody": openapi.EDITS["openapi_extra"]["requestBody"], **EXTENSION}


router = APIRouter(tags=["Your own key"], dependencies=[Depends(counted_own_call)])
"""Routes with a rate limit per client address."""


@router.get("/key", openapi_extra=EXTENSION)
async def retrieve_own_key(caller: Caller, gateway: Wired) -> OwnKeyOut:
    """Return the key, the models it can buy now and the use of its limits. `spent` of a rate is the use in the last minute."""
    return await _own_key(caller, gateway)


@router.get("/usage/images", response_model=ImagesUsageOut, openapi_extra=EXTENSION)
async def own_usage_images(
    caller: Caller, gateway: Wired, query: Annotated[ImagesQuery, Depends(QueryString(ImagesQuery))]
) -> Response:
    """Return usage as `/organization/usage/images` does, of the user or service account that owns the key: all their keys in
    all their projects. `api_key_ids` narrows it to single keys; another user's id is a 403."""
    return await images_answer(gateway.database, _own_usage_query(query, caller))


@router.get("/costs", response_model=CostsOut, openapi_extra=EXTENSION)
async def own_costs(
    caller: Caller, gateway: Wired, query: Annotated[CostsQuery, Depends(QueryString(CostsQuery))]
) -> Response:
    """Return costs as `/organization/costs` does, of the user or service account that owns the key."""
    return await costs_answer(gateway.database, _own_usage_query(query, caller), gateway.currency)


@router.post("/images/quote", openapi_extra=_QUOTE_BODY)
async def quote_image(request: Request, caller: Caller, gateway: Wired) -> QuoteOut:
    """Quote a generation or edit: the most it can cost, the limit that would refuse it now, what would be left, and whether
    it was bought before.

    Nothing is bought, reserved or sent, and no rate is spent. `allowed` is about limits only; any other fault is the same
    error as for the request itself.
    """
    with open_bodies(request).reading(request, caller.key_id) as counted:
        image_request = await read_quote(counted, body_caps(request))
    try:
        catalog = await gateway.control_data.catalog()
        quote = await _reader(gateway).quote(catalog, caller, image_request, gateway.clock.now_ms())
        earlier = await gateway.image_service.duplicates.find(caller, quote.request)
        return QuoteOut.of(quote, gateway.currency, None if earlier is None else earlier.picture_id)
    finally:
        image_request.close()


async def _own_key(caller: Grant, gateway: Gateway) -> OwnKeyOut:
    now_ms, catalog = gateway.clock.now_ms(), await gateway.control_data.catalog()
    key = await gateway.database.ask(keys.get_key, caller.key_id)
    limits = await _reader(gateway).states(caller.limits, now_ms)
    models = [model.id for model in caller.usable_models(catalog, now_ms)]
    return OwnKeyOut.of(key, models, gateway.currency, limits)


def _reader(gateway: Gateway) -> LimitReader:
    return LimitReader(gateway.database, gateway.rates, gateway.zone)


def _own_usage_query(query: UsageQuery, caller: Grant) -> UsageQuery:
    if set(query.user_ids) - {caller.user_id}:
        raise PermissionDenied("With an API key you see your own usage only; leave user_ids out.", param="user_ids")
    return query.model_copy(update={"user_ids": (caller.user_id,)})
