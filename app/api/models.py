"""Models API: the models of the catalog that have a price and that the key may use, and their aliases. The relay is not asked."""

from fastapi import APIRouter, Depends

from app.api.deps import Caller, Wired, counted_models_call
from app.api.schemas.images import ModelListOut, ModelOut

OWNER = "imagegate"

router = APIRouter(prefix="/models", tags=["Models"], dependencies=[Depends(counted_models_call)])
"""Routes with a rate limit per client address."""


@router.get("")
async def list_models(caller: Caller, gateway: Wired) -> ModelListOut:
    """List the models this API key can buy images from, and the aliases of them that are no patterns."""
    catalog = await gateway.control_data.catalog()
    usable = caller.usable_models(catalog, gateway.clock.now_ms())
    ids = {model.id for model in usable}
    named = [(model.id, model.created_at_ms) for model in usable]
    named += [(alias.name, alias.created_at_ms) for alias in catalog.named_aliases() if alias.model in ids]
    return ModelListOut(data=[_model_out(*each) for each in named])


@router.get("/{model:path}")
async def retrieve_model(model: str, caller: Caller, gateway: Wired) -> ModelOut:
    """Return one model, or an alias, which may be an instance of a pattern. 404 `model_not_found` for one that is not in the
    catalog, has no price, or is not for this key."""
    catalog = await gateway.control_data.catalog()
    usable = caller.usable_models(catalog, gateway.clock.now_ms())
    alias, found = catalog.alias(model), catalog.find(model)
    if found is None or found not in usable:
        raise catalog.not_found(model, [each.id for each in usable])
    return _model_out(model, alias.created_at_ms if alias else found.created_at_ms)


def _model_out(id: str, created_at_ms: int) -> ModelOut:
    return ModelOut(id=id, created=created_at_ms // 1000, owned_by=OWNER)
