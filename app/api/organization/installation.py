"""/organization/installation and /organization/models: what a client must know of this gateway to show its data (extensions)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app import __version__
from app.api.organization.deps import Admin
from app.api.organization.docs import described
from app.api.organization.pages import list_object
from app.control import models
from app.control.models import ModelRow

router = APIRouter(tags=["Installation (extension)"])
_INSTALLATION = {
    "object": "organization.installation",
    "version": "0.1.0",
    "currency": "CNY",
    "timezone": "Asia/Shanghai",
}
_MODEL = {
    "object": "organization.model",
    "id": "gpt-image-1",
    "operations": ["edit", "generation"],
    "sizes": ["1024x1024", "1536x1024"],
    "qualities": ["low", "medium", "high"],
    "priced": True,
    "allowed": None,
}


@router.get("/installation", **described(_INSTALLATION, extension=True))
async def retrieve_installation(caller: Admin) -> dict[str, Any]:
    """The gateway's version, the currency of its book, and the timezone in which it cuts days and months."""
    settings = caller.gateway.settings
    return {
        "object": "organization.installation",
        "version": __version__,
        "currency": settings.currency,
        "timezone": settings.zone.key,
    }


@router.get("/models", **described(list_object([_MODEL]), 404, extension=True))
async def list_models(
    caller: Admin,
    project: Annotated[str | None, Query(max_length=200, description="Also tell what this one may use.")] = None,
) -> dict[str, Any]:
    """The whole catalog, oldest entry first. `priced`: it can be bought now. `allowed` is null where no project is named; a
    project is named by its id or its name."""
    return list_object([_shown(row) for row in await models.list_models(caller.database, project)])


def _shown(row: ModelRow) -> dict[str, Any]:
    return {
        "object": "organization.model",
        "id": row.model,
        "operations": list(row.operations),
        "sizes": list(row.sizes),
        "qualities": list(row.qualities),
        "priced": row.priced,
        "allowed": row.allowed,
    }
