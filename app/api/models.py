"""Models API: the models of the catalog that have a price and that the key may use. The relay is not asked."""

from fastapi import APIRouter
from starlette.requests import Request

from app.api.deps import Caller, Wired
from app.api.guard import Guard
from app.api.schemas.images import ModelListOut, ModelOut
from app.core.catalog import Model
from app.core.grants import Grant
from app.errors import ModelNotFound
from app.wiring import Gateway

OWNER = "imagegate"


def models_router(guard: Guard) -> APIRouter:
    """Make the routes under /models, with a rate limit per client address."""
    router = APIRouter(prefix="/models", tags=["Models"])

    @router.get("")
    @guard.models
    async def list_models(request: Request, caller: Caller, gateway: Wired) -> ModelListOut:  # noqa: ARG001  (the guard's)
        """List the models this API key can buy images from."""
        return ModelListOut(data=[_model_out(model) for model in await _usable(caller, gateway)])

    @router.get("/{model:path}")
    @guard.models
    async def retrieve_model(request: Request, model: str, caller: Caller, gateway: Wired) -> ModelOut:  # noqa: ARG001
        """Return one model. 404 `model_not_found` for one that is not in the catalog, has no price, or is not for this key."""
        for usable in await _usable(caller, gateway):
            if usable.id == model:
                return _model_out(usable)
        raise ModelNotFound(
            f"The model '{model[:100]}' does not exist here. GET /v1/models lists those that do.", param="model"
        )

    return router


async def _usable(caller: Grant, gateway: Gateway) -> list[Model]:
    catalog, now_ms = await gateway.control_data.catalog(), gateway.clock.now_ms()
    return [model for model in catalog.models.values() if model.is_priced_at(now_ms) and caller.may_use(model.id)]


def _model_out(model: Model) -> ModelOut:
    return ModelOut(id=model.id, created=model.created_at_ms // 1000, owned_by=OWNER)
