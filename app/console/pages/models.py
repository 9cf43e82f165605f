"""Pages of the models: prices as grids with their history, what a change would cost, aliases, and the relay's own prices."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from app.api.schemas.model_aliases import ModelAliasOut
from app.api.schemas.prices import PriceImportOut
from app.console.language import marked as _
from app.console.price_form import SIMULATED_DAYS, PriceForm, PriceSimulation, simulate
from app.console.price_grid import price_grids
from app.console.visit import Visit, signed_in
from app.control import model_aliases, price_import, price_sync, prices, relays, removal
from app.control.model_aliases import AliasChange
from app.control.price_import import PriceImport
from app.control.price_sync import RelayOffer, SyncedModels
from app.control.usage import report
from app.core.catalog import Model
from app.core.money import micros
from app.core.request import DEFAULT_RELAY
from app.errors import GatewayError, InvalidValue, NotFound
from app.store.prices import read_catalog

ALIAS_FIELDS = ("name", "model")


async def list_models(visit: Visit) -> Response:
    """Show every model with its prices, and the aliases."""
    return await _list(visit)


async def show_model(visit: Visit) -> Response:
    """Show the prices of one model over time. With an amount in the address, say what it would have cost."""
    form = PriceForm.of(visit.query)
    error, simulation = None, None
    if form.is_filled:
        try:
            simulation = await _simulation(visit, form)
        except GatewayError as exc:
            error = exc
    return await _model_page(visit, form, error, simulation)


async def set_price(visit: Visit) -> Response:
    """Set a price, from now or a later day on. A new model comes into the catalog by it."""
    form = PriceForm.of(await visit.form())
    try:
        await prices.set_price(visit.database, visit.parts.gateway.zone, form.entry())
    except GatewayError as exc:
        return await _model_page(visit, form, exc)
    return visit.redirect("/models/prices", model=form.get("model"), done="set")


async def end_price(visit: Visit) -> Response:
    """End a price that was mistyped. The one that it replaced is in force again."""
    form = await visit.form()
    try:
        await removal.end_price(visit.database, form.get("price", ""))
    except GatewayError as exc:
        return await _model_page(visit, PriceForm.of(form), exc)
    return visit.redirect("/models/prices", model=form.get("model"), done="ended")


async def remove_model(visit: Visit) -> Response:
    """Remove a mistyped model from the catalog."""
    form = await visit.form()
    try:
        await removal.remove_model(visit.database, form.get("model", ""))
    except GatewayError as exc:
        return await _model_page(visit, PriceForm.of(form), exc)
    return visit.redirect("/models", done="removed")


async def add_alias(visit: Visit) -> Response:
    """Let a name stand for a model."""
    form = await visit.form()
    try:
        await model_aliases.set_alias(visit.database, AliasChange(form.get("name", ""), form.get("model", "")))
    except GatewayError as exc:
        return await _list(visit, exc, form)
    return visit.redirect("/models", done="alias")


async def remove_alias(visit: Visit) -> Response:
    """Remove an alias. Requests that were made with it stay in the book."""
    form = await visit.form()
    await model_aliases.remove_alias(visit.database, form.get("name", ""))
    return visit.redirect("/models", done="alias-removed")


async def show_sync(visit: Visit) -> Response:
    """Show how the relay's prices differ from the price book."""
    return await _sync_page(visit, visit.query)


async def apply_sync(visit: Visit) -> Response:
    """Set the prices that were shown. Where the relay or the book has changed since, show the difference anew."""
    form = await visit.form()
    offer = await _offer(visit, form)
    found = await price_import.compare_with_book(visit.database, visit.parts.gateway.zone, offer.entries)
    if _digest(found) != form.get("seen"):
        return await _sync_page(visit, form, has_changed=True)
    await price_import.import_prices(visit.database, visit.parts.gateway.zone, offer.entries)
    return visit.redirect("/models", done="synced")


async def _list(visit: Visit, error: GatewayError | None = None, alias: dict[str, str] | None = None) -> Response:
    now_ms, catalog = visit.parts.gateway.clock.now_ms(), await visit.database.ask(read_catalog)
    offered = await visit.parts.relay_watches.offer(catalog.relays.values(), catalog.models)
    listed = [
        {
            "model": model,
            "grids": price_grids(model, now_ms),
            "is_offered": model.id in offered,
            "aliases": [each.name for each in catalog.aliases if each.model == model.id],
        }
        for model in catalog.models.values()
    ]
    aliases = await model_aliases.list_aliases(visit.database)
    return visit.render(
        "models.html",
        listed=listed,
        aliases=[ModelAliasOut.of(each) for each in aliases],
        names=list(catalog.models),
        alias={name: (alias or {}).get(name, "") for name in ALIAS_FIELDS},
        error=error,
    )


async def _model_page(
    visit: Visit, form: PriceForm, error: GatewayError | None = None, simulation: PriceSimulation | None = None
) -> Response:
    now_ms, catalog = visit.parts.gateway.clock.now_ms(), await visit.database.ask(read_catalog)
    model = catalog.models.get(form.get("model"))
    if model is None and form.get("model") and error is None:
        raise NotFound(_("There is no such model in the catalog. It may have been removed."))
    return visit.render(
        "model.html",
        model=model,
        grids=[] if model is None else price_grids(model, now_ms),
        history=[] if model is None else _history(model, now_ms),
        aliases=[each.name for each in catalog.aliases if model is not None and each.model == model.id],
        form=form,
        error=error,
        simulation=simulation,
        days=SIMULATED_DAYS,
    )


def _history(model: Model, now_ms: int) -> list[dict[str, Any]]:
    """List all prices of a model, newest start first, each with its state."""
    in_force = {price.id for price in model.prices.at(now_ms)}

    def state(id: int, from_ms: int, until_ms: int | None) -> str:
        if until_ms is not None and until_ms <= now_ms:
            return "ended"
        return "in force" if id in in_force else "to come" if from_ms > now_ms else "replaced"

    ranked = sorted(model.prices.prices, key=lambda price: (price.from_ms, price.id), reverse=True)
    return [{"price": price, "state": state(price.id, price.from_ms, price.until_ms)} for price in ranked]


async def _simulation(visit: Visit, form: PriceForm) -> PriceSimulation | None:
    """Reckon what the model's usage of the last days would have cost. Raises InvalidValue."""
    wanted, gateway = form.entry(), visit.parts.gateway
    model = (await visit.database.ask(read_catalog)).models.get(wanted.model)
    if model is None:
        return None
    today = datetime.fromtimestamp(gateway.clock.now_ms() / 1000, UTC).astimezone(gateway.zone).date()
    since = (today - timedelta(days=SIMULATED_DAYS - 1)).isoformat()
    by = ("operation", "size", "quality")
    used = await report(visit.database, by, since, None, gateway.zone, {"model": model.id})
    return simulate(model, wanted, used, gateway.clock.now_ms())


async def _offer(visit: Visit, fields: Any) -> RelayOffer:
    """Read the relay's prices of the catalog and of the models that a form names. Raises InvalidValue and UpstreamMisconfigured."""
    gateway, ceiling = visit.parts.gateway, fields.get("ceiling", "")
    try:
        ceiling_micros = micros(ceiling) if ceiling else None
    except ValueError:
        raise InvalidValue(_("Write the ceiling like 2.50."), param="ceiling") from None
    named = [name.strip()[:128] for name in fields.get("models", "").split(",") if name.strip()][:100]
    wanted = SyncedModels(named, ceiling_micros=ceiling_micros)
    relay = await visit.database.ask(relays.get_relay, DEFAULT_RELAY)
    bills, group = gateway.reconciliations.bills, fields.get("group") or "default"
    return await price_sync.read_offer(visit.database, bills, relay, group, wanted)


async def _sync_page(visit: Visit, fields: Any, *, has_changed: bool = False) -> Response:
    found, error = None, None
    notes: tuple[str, ...] = ()
    try:
        offer = await _offer(visit, fields)
        found = await price_import.compare_with_book(visit.database, visit.parts.gateway.zone, offer.entries)
        notes = offer.notes
    except GatewayError as exc:
        error = exc
    return visit.render(
        "models_sync.html",
        status=409 if has_changed and error is None else 200,
        found=None if found is None else PriceImportOut.of(found, dry_run=True, notes=notes),
        seen="" if found is None else _digest(found),
        fields={name: fields.get(name, "") for name in ("models", "ceiling", "group")},
        error=error,
        has_changed=has_changed,
    )


def _digest(found: PriceImport) -> str:
    """Return what tells one difference from another, for the form that applies it."""
    return hashlib.sha256(repr(_steps(found)).encode()).hexdigest()[:32]


def _steps(found: PriceImport) -> Sequence[Any]:
    return [(step.wanted, step.was) for step in found.steps]


routes = (
    ("GET", "/models", signed_in(list_models, "owner", "reader")),
    ("GET", "/models/prices", signed_in(show_model, "owner", "reader")),
    ("POST", "/models/prices", signed_in(set_price, "owner")),
    ("POST", "/models/prices/end", signed_in(end_price, "owner")),
    ("POST", "/models/remove", signed_in(remove_model, "owner")),
    ("POST", "/models/aliases", signed_in(add_alias, "owner")),
    ("POST", "/models/aliases/remove", signed_in(remove_alias, "owner")),
    ("GET", "/models/sync", signed_in(show_sync, "owner", "reader")),
    ("POST", "/models/sync", signed_in(apply_sync, "owner")),
)
