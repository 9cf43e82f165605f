"""The price book (an extension)."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.body import BodyCaps
from app.api.deps import Caps
from app.api.organization import examples
from app.api.organization.bodies import Body, body
from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object
from app.api.organization.shapes import seconds
from app.control import price_files, price_import, prices
from app.control.price_import import Imported
from app.control.prices import ListedPrice, WantedPrice
from app.errors import BadRequest, BodyTooLarge, InvalidValue, UnsupportedMediaType

router = APIRouter(prefix="/prices", tags=["Prices (extension)"])
Amount = Annotated[str, Field(max_length=32)]
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")


class PriceBody(Body, json_schema_extra={"example": {"model": "imagen4", "per_image": "0.20", "from": "2026-12-01"}}):
    """Either `per_image`, or the four per token; amounts are plain decimals as texts. `from` is a day like `2026-12-01` or an
    instant with its offset; without it the price counts from now."""

    model: Annotated[str, Field(max_length=128)]
    operation: Literal["generation", "edit", "variation"] | None = None
    size: Annotated[str, Field(max_length=32)] | None = None
    quality: Annotated[str, Field(max_length=32)] | None = None
    per_image: Amount | None = None
    per_million_input_text: Amount | None = None
    per_million_input_image: Amount | None = None
    per_million_output: Amount | None = None
    ceiling_per_image: Amount | None = None
    starts: Annotated[str | None, Field(alias="from", max_length=40)] = None


@router.get("", **described(list_object([examples.PRICE]), 400, extension=True))
async def list_prices(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    model: Annotated[str | None, Query(max_length=128, description="Only of this model.")] = None,
    in_force: Annotated[bool | None, Query(description="Only those in force now, or only the others.")] = None,
) -> dict[str, Any]:
    """Every price that was, is or will be in force, by model and start."""
    every = [price for price in await prices.list_prices(caller.database) if price.price is not None]
    wanted = [
        _shown(caller, price) for price in every if model in (None, price.model) and in_force in (None, price.in_force)
    ]
    ids = [f"price_{price.price.id}" for price in every if price.price]
    begin = 0
    if after is not None:
        if after not in ids:
            raise InvalidValue(
                "There is nothing with the id that after names; give one out of the list.", param="after"
            )
        seen = {*ids[: ids.index(after) + 1]}
        begin = sum(price["id"] in seen for price in wanted)
    return list_object(wanted[begin : begin + limit], len(wanted) > begin + limit)


@router.post("", **described(examples.PRICE, 400, 403, body=PriceBody, extension=True))
async def set_price(caller: AdminWriter, given: Annotated[PriceBody, Depends(body(PriceBody))]) -> dict[str, Any]:
    """Price a model from now or a later day on; a new one is in the catalog then. The past is never recalculated."""
    fields = given.model_dump()
    amount = price_files.amount_of(fields)
    wanted = WantedPrice(given.model, amount, given.operation, given.size, given.quality, given.starts)
    return _shown(caller, await prices.set_price(caller.database, caller.gateway.settings.zone, wanted))


@router.get("/export", response_class=Response, **described(examples.PRICE_BOOK, extension=True))
async def export_prices(
    caller: Admin, format: Annotated[Literal["json", "yaml"], Query(description="json or yaml.")] = "json"
) -> Response:
    """The whole book as a document that can be imported again."""
    settings = caller.gateway.settings
    listed = await prices.list_prices(caller.database)
    text = price_files.write_document(listed, format, settings.zone, settings.currency)
    return Response(text, media_type="application/json" if format == "json" else "application/yaml")


@router.post("/import", **examples.imports())
async def import_prices(
    request: Request,
    caller: AdminWriter,
    caps: Caps,
    dry_run: Annotated[bool, Query(description="Only say what would be set.")] = False,
) -> dict[str, Any]:
    """Set what of a document, JSON or YAML, is not in the book yet: all of it or, when anything in it is wrong, nothing."""
    settings = caller.gateway.settings
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("application/json", *YAML_TYPES):
        raise UnsupportedMediaType("Send the price book as application/json or application/yaml.")
    text = (await _bytes(request, caps)).decode("utf-8", "replace")
    format: price_files.DocumentFormat = "json" if content_type == "application/json" else "yaml"
    entries = await asyncio.to_thread(price_files.read_document, text, format, settings.currency)
    found = await price_import.import_prices(caller.database, settings.zone, entries, dry_run=dry_run)
    return _imported(found, dry_run)


async def _bytes(request: Request, caps: BodyCaps) -> bytes:
    read = bytearray()
    try:
        async with asyncio.timeout(caps.idle_s):
            async for chunk in request.stream():
                read += chunk
                if len(read) > price_files.DOCUMENT_BYTES_MAX:
                    raise BodyTooLarge(f"A price book has at most {price_files.DOCUMENT_BYTES_MAX:,} bytes.")
    except TimeoutError:
        raise BadRequest("The body stalled; send it faster.", headers={"connection": "close"}) from None
    return bytes(read)


def _shown(caller: Administrator, listed: ListedPrice) -> dict[str, Any]:
    price = listed.price
    assert price is not None
    return {
        "id": f"price_{price.id}",
        "object": "organization.price",
        "model": price.model,
        "operation": price.operation,
        "size": price.size,
        "quality": price.quality,
        "currency": caller.gateway.settings.currency,
        **dict.fromkeys((price_files.PER_IMAGE, *price_files.PER_TOKEN)),
        **price_files.amount_fields(price.amount),
        "starts_at": seconds(price.from_ms) or None,
        "in_force": listed.in_force,
    }


def _imported(found: Imported, dry_run: bool) -> dict[str, Any]:
    return {
        "object": "organization.price.import",
        "dry_run": dry_run,
        "set": [
            {
                **{name: getattr(step.wanted, name) for name in ("model", "operation", "size", "quality")},
                "from": step.wanted.starts,
                "was": price_files.amount_fields(step.was) if step.was else None,
                "becomes": price_files.amount_fields(step.wanted.amount),
            }
            for step in found.steps
        ],
        "unchanged": found.unchanged,
        "past": found.past,
    }
