"""Models API: the models of the catalog that have a price and that the key may use. The relay is not asked."""

from fastapi import APIRouter, Depends

from app.api.deps import Caller, Wired, counted_models_call
from app.api.schemas.images import ModelListOut, ModelOut
from app.core.catalog import Model
from app.core.grants import Grant
from app.errors import ModelNotFound
from app.wiring import Gateway

OWNER = "imagegate"


router = APIRouter(prefix="/models", tags=["Models"], dependencies=[Depends(counted_models_call)])
"""Routes with a rate limit per client address."""


@router.get("")
async def list_models(caller: Caller, gateway: Wired) -> ModelListOut:
    """List the models this API key can buy images from."""
    return ModelListOut(data=[_model_out(model) for model in await _usable(caller, gateway)])


@router.get("/{model:path}")
async def retrieve_model(model: str, caller: Caller, gateway: Wired) -> ModelOut:
    """Return one model. 404 `model_not_found` for one that is not in the catalog, has no price, or is not for this key."""
    for usable in await _usable(caller, gateway):
        if usable.id == model:
            return _model_out(usable)
    raise ModelNotFound(
        f"The model '{model[:100]}' does not exist here. GET /v1/models lists those that do.", param="model"
    )


async def _usable(caller: Grant, gateway: Gateway) -> list[Model]:
    catalog, now_ms = await gateway.control_data.catalog(), gateway.clock.now_ms()
    return [model for model in catalog.models.values() if model.is_priced_at(now_ms) and caller.may_use(model.id)]


def _model_out(model: Model) -> ModelOut:
    return ModelOut(id=model.id, created=model.created_at_ms // 1000, owned_by=OWNER)
