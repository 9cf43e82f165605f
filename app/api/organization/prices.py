"""/organization/prices: the price book (an extension)."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit, read_text
from app.api.schemas.base import ListOut
from app.api.schemas.prices import PriceDocument, PriceImportOut, PriceOut, PriceSet, PriceSync
from app.control import price_files, price_import, price_sync, prices, relays, removal
from app.control.prices import PriceEntry
from app.core.money import decimal_text
from app.errors import InvalidValue, UnsupportedMediaType

router = APIRouter(prefix="/prices", tags=["Prices (extension)"])
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
_DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"$ref": "#/components/schemas/PriceDocument"}}
            for kind in ("application/json", "application/yaml")
        },
    }
}


@router.get("")
async def list_prices(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    model: Annotated[str | None, Query(max_length=128, description="Only of this model.")] = None,
    in_force: Annotated[bool | None, Query(description="Only those in force now, or only the others.")] = None,
) -> ListOut[PriceOut]:
    """List past, present and future prices by model and start."""
    every = [PriceOut.of(price) for price in await prices.list_prices(caller.database) if price.price is not None]
    if after is not None:
        ids = [price.id for price in every]
        if after not in ids:
            raise InvalidValue(
                "There is nothing with the id that after names; give one out of the list.", param="after"
            )
        every = every[ids.index(after) + 1 :]
    found = [price for price in every if model in (None, price.model) and in_force in (None, price.in_force)]
    return ListOut[PriceOut].of(found[:limit], has_more=len(found) > limit)


@router.post("")
async def set_price(caller: AdminWriter, body: Body[PriceSet]) -> PriceOut:
    """Set the price of a model from now or a later day on. A new model is added to the catalog. The past is not recalculated."""
    entry = PriceEntry(
        body.model, price_files.amount_of(_decimals(body)), body.operation, body.size, body.quality, body.starts
    )
    return PriceOut.of(await prices.set_price(caller.database, caller.gateway.zone, entry))


@router.delete("/{price_id}")
async def end_price(caller: AdminWriter, price_id: str) -> PriceOut:
    """End a price now, also one that has not begun; the one that it replaced is in force again. It stays in the list, and what was
    reserved before keeps its price. A 409 while a request that it may price is reserved, dispatched or unknown."""
    return PriceOut.of(await removal.end_price(caller.database, price_id))


@router.get("/export", response_class=Response, responses={200: {"model": PriceDocument}})
async def export_prices(
    caller: Admin, format: Annotated[Literal["json", "yaml"], Query(description="json or yaml.")] = "json"
) -> Response:
    """Export the price book as a document that can be imported."""
    listed = await prices.list_prices(caller.database)
    text = price_files.write_document(listed, format, caller.gateway.zone, caller.gateway.currency)
    return Response(text, media_type="application/json" if format == "json" else "application/yaml")


@router.post("/import", openapi_extra=_DOCUMENT)
async def import_prices(
    request: Request,
    caller: AdminWriter,
    dry_run: Annotated[bool, Query(description="Answer with the prices that would be set, and set none.")] = False,
) -> PriceImportOut:
    """Set the prices of a document, JSON or YAML, that are not in the book yet: all, or none when one is wrong."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("application/json", *YAML_TYPES):
        raise UnsupportedMediaType("Send the price book as application/json or application/yaml.")
    text = await read_text(request, price_files.DOCUMENT_BYTES_MAX)
    format: price_files.DocumentFormat = "json" if content_type == "application/json" else "yaml"
    entries = await asyncio.to_thread(price_files.read_document, text, format, caller.gateway.currency)
    found = await price_import.import_prices(caller.database, caller.gateway.zone, entries, dry_run=dry_run)
    return PriceImportOut.of(found, dry_run=dry_run)


@router.post("/sync")
async def sync_prices(caller: AdminWriter, body: Body[PriceSync]) -> PriceImportOut:
    """Compare the book with the prices that a relay publishes, divided by its price factor. With `apply`, set those that differ,
    from now on."""
    gateway = caller.gateway
    wanted = price_sync.SyncedModels(tuple(body.models), body.only, body.ceiling_per_image_micros)
    relay = await caller.database.ask(relays.get_relay, body.relay)
    offer = await price_sync.read_offer(caller.database, gateway.reconciliations.bills, relay, body.group, wanted)
    found = await price_import.import_prices(caller.database, gateway.zone, offer.entries, dry_run=not body.apply)
    return PriceImportOut.of(found, dry_run=not body.apply, notes=offer.notes)


def _decimals(body: PriceSet) -> dict[str, str | None]:
    """Return the amounts as fields of a price document. Raises InvalidValue for one that is given twice."""
    amounts: dict[str, str | None] = {}
    for name in (price_files.PER_IMAGE, *price_files.PER_TOKEN):
        text, micros = getattr(body, name), getattr(body, f"{name}_micros")
        if text is not None and micros is not None:
            raise InvalidValue(f"Give {name} or {name}_micros, not both.", param=name)
        amounts[name] = text if micros is None else decimal_text(micros)
    return amounts
