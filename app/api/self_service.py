"""What everybody may ask with their own API key: the key itself, its limits, one's own usage and costs, and a price beforehand."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.api import openapi
from app.api.body import read_quote
from app.api.deps import Caller, Caps, Wired
from app.api.guard import Guard
from app.api.organization.docs import OWN, described
from app.api.organization.queries import query
from app.api.organization.usage_answers import COSTS_EXAMPLE, IMAGES_EXAMPLE, costs_answer, images_answer
from app.api.organization.usage_queries import CostsQuery, ImagesQuery
from app.control import keys
from app.control.standing import Asked, Quote, Standing, Standings
from app.core.grants import Grant
from app.core.money import decimal_text
from app.core.request import ImageRequest
from app.errors import PermissionDenied
from app.store.keys import KeyRecord
from app.wiring import Gateway

AskedOf = TypeVar("AskedOf", ImagesQuery, CostsQuery)

_LIMIT_EXAMPLE = {
    "name": "monthly spend limit of user lin",
    "scope": "user",
    "scope_id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
    "model": None,
    "unit": "micros",
    "interval": "month",
    "amount": 200_000_000,
    "used": 80_000_000,
    "held": 1_000_000,
    "left": 119_000_000,
    "resets_at": 1798732800,
}
KEY_EXAMPLE = {
    "object": "api_key",
    "id": "key_4f8c1n0a2b7m",
    "name": "lin",
    "redacted_value": "sk-ig-...x7Qa",
    "created_at": 1795996800,
    "expires_at": None,
    "owner": {"type": "user", "id": "user-5f2m0c8b1x7k3v9d4h6j2n0q", "name": "lin"},
    "project": {"id": "proj_default", "name": "default"},
    "models": ["gpt-image-1", "seedream-3.0"],
    "currency": "CNY",
    "limits": [_LIMIT_EXAMPLE],
}
QUOTE_EXAMPLE = {
    "object": "image.quote",
    "operation": "generation",
    "model": "gpt-image-1",
    "n": 1,
    "size": "1024x1024",
    "quality": None,
    "amount": "1.00",
    "amount_micros": 1_000_000,
    "currency": "CNY",
    "allowed": True,
    "refused_by": None,
    "limits": [{**_LIMIT_EXAMPLE, "needed": 1_000_000, "left_after": 118_000_000}],
}
_QUOTE_BODY = {"requestBody": openapi.EDITS["openapi_extra"]["requestBody"]}


def self_service_router(guard: Guard) -> APIRouter:
    """The routes, guarded by client address."""
    router = APIRouter(tags=["Your own key"])

    @router.get("/key", **described(KEY_EXAMPLE, security=OWN, extension=True))
    @guard.own
    async def retrieve_own_key(request: Request, caller: Caller, gateway: Wired) -> dict[str, Any]:  # noqa: ARG001  (the guard's)
        """Whose key this is, which models it may use, and how every limit that bears on it stands. Amounts of the unit
        `micros` are millionths of the currency; of a rate, `used` is what passed in the last minute."""
        return await _key(caller, gateway)

    @router.get("/usage/images", **described(IMAGES_EXAMPLE, 400, 403, query=ImagesQuery, security=OWN, extension=True))
    @guard.own
    async def own_usage_images(
        request: Request,  # noqa: ARG001
        caller: Caller,
        gateway: Wired,
        asked: Annotated[ImagesQuery, Depends(query(ImagesQuery))],
    ) -> JSONResponse:
        """As `/organization/usage/images`, of the user or service account the key acts for: all their keys in all their
        projects. `api_key_ids` narrows it to one key; naming somebody else is a 403."""
        return await images_answer(gateway.database, _of_oneself(asked, caller))

    @router.get("/costs", **described(COSTS_EXAMPLE, 400, 403, query=CostsQuery, security=OWN, extension=True))
    @guard.own
    async def own_costs(
        request: Request,  # noqa: ARG001
        caller: Caller,
        gateway: Wired,
        asked: Annotated[CostsQuery, Depends(query(CostsQuery))],
    ) -> JSONResponse:
        """As `/organization/costs`, of the user or service account the key acts for."""
        return await costs_answer(gateway.database, _of_oneself(asked, caller), gateway.settings.currency)

    @router.post("/images/quote", **_quote_docs())
    @guard.own
    async def quote_image(request: Request, caller: Caller, gateway: Wired, caps: Caps) -> dict[str, Any]:
        """The most a generation or edit with this body can cost, which limit would refuse it now, and what would be left.

        Nothing is bought, held or sent, and no rate is spent. `allowed` tells of limits; what else is wrong with the request is
        the same error as it would be for the request itself.
        """
        wanted = await read_quote(request, caps)
        try:
            return await _quote(caller, gateway, wanted)
        finally:
            wanted.close()

    return router


def _quote_docs() -> dict[str, Any]:
    docs = described(QUOTE_EXAMPLE, 400, 403, 404, security=OWN, extension=True)
    return docs | {"openapi_extra": docs["openapi_extra"] | _QUOTE_BODY}


async def _key(caller: Grant, gateway: Gateway) -> dict[str, Any]:
    now_ms, catalog = gateway.clock.now_ms(), await gateway.control_data.catalog()
    record = await keys.show_key(gateway.database, caller.key_id)
    standings = await _standings(gateway).of(caller.limits, now_ms)
    usable = [model.id for model in catalog.models.values() if model.is_priced_at(now_ms) and caller.may_use(model.id)]
    return {
        **_who(record),
        "models": usable,
        "currency": gateway.settings.currency,
        "limits": [_limit(standing) for standing in standings],
    }


async def _quote(caller: Grant, gateway: Gateway, wanted: ImageRequest) -> dict[str, Any]:
    catalog, now_ms = await gateway.control_data.catalog(), gateway.clock.now_ms()
    quote = await _standings(gateway).quote(catalog, caller, wanted, now_ms)
    return {
        "object": "image.quote",
        **{name: getattr(wanted, name) for name in ("operation", "model", "n", "size", "quality")},
        "amount": decimal_text(quote.amount_micros),
        "amount_micros": quote.amount_micros,
        "currency": gateway.settings.currency,
        **_verdict(quote),
    }


def _verdict(quote: Quote) -> dict[str, Any]:
    refused_by = quote.refused_by
    return {
        "allowed": refused_by is None,
        "refused_by": None if refused_by is None else _asked(refused_by),
        "limits": [_asked(asked) for asked in quote.asked],
    }


def _standings(gateway: Gateway) -> Standings:
    return Standings(gateway.database, gateway.rates, gateway.settings.zone)


def _of_oneself(asked: AskedOf, caller: Grant) -> AskedOf:
    if set(asked.user_ids) - {caller.user_id}:
        raise PermissionDenied("With an API key you see your own usage only; leave user_ids out.", param="user_ids")
    return asked.model_copy(update={"user_ids": (caller.user_id,)})


def _who(key: KeyRecord) -> dict[str, Any]:
    kind = "service_account" if key.user_kind == "service_account" else "user"
    return {
        "object": "api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": f"sk-ig-...{key.last_four}",
        "created_at": key.created_at_ms // 1000,
        "expires_at": None if key.expires_at_ms is None else key.expires_at_ms // 1000,
        "owner": {"type": kind, "id": key.user_id, "name": key.user},
        "project": {"id": key.project_id, "name": key.project},
    }


def _limit(standing: Standing) -> dict[str, Any]:
    limit = standing.limit
    return {
        "name": limit.label,
        "scope": limit.scope,
        "scope_id": limit.scope_id or None,
        "model": limit.model or None,
        "unit": limit.unit,
        "interval": None if limit.unit == "in_flight" else limit.interval,
        "amount": limit.amount,
        "used": standing.used,
        "held": standing.held,
        "left": standing.left,
        "resets_at": None if standing.resets_at_ms is None else -(-standing.resets_at_ms // 1000),
    }


def _asked(asked: Asked) -> dict[str, Any]:
    return {**_limit(asked.standing), "needed": asked.needed, "left_after": asked.standing.left - asked.needed}
