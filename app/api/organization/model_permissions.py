"""Which models a project may use: an allow list or a deny list, on top of what each key says of itself."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from app.api.organization.bodies import Body, body
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.control import models
from app.control.models import ModelMode, ModelRule

router = APIRouter(prefix="/projects/{project_id}/model_permissions", tags=["Model permissions"])
MODELS_MAX = 1000
_EXAMPLE = {"object": "project.model_permissions", "mode": "allow_list", "model_ids": ["gpt-image-1"]}
_DELETED = {"object": "project.model_permissions.deleted", "deleted": True}


class ModelPermissions(Body, json_schema_extra={"example": {"mode": "allow_list", "model_ids": ["gpt-image-1"]}}):
    mode: ModelMode = Field(description="`allow_list`: nothing but these models. `deny_list`: everything but these.")
    model_ids: list[str] = Field(max_length=MODELS_MAX, description="Models of the catalog.")


@router.get("", **described(_EXAMPLE, 404))
async def retrieve_model_permissions(project_id: str, caller: Admin) -> dict[str, Any]:
    """The permissions of a project. One that has none may use every model: an empty deny list says that."""
    rule = await models.show_rule(caller.database, project_id)
    return _shown(rule or ModelRule("deny_list", ()))


@router.post("", **described(_EXAMPLE, 400, 403, 404, 409, body=ModelPermissions))
async def modify_model_permissions(
    project_id: str, caller: AdminWriter, wanted: Annotated[ModelPermissions, Depends(body(ModelPermissions))]
) -> dict[str, Any]:
    """Set the permissions of a project, in place of those before. They hold from the next request on: the others are 403
    `model_not_allowed`."""
    return _shown(await models.set_rule(caller.database, project_id, wanted.mode, wanted.model_ids))


@router.delete("", **described(_DELETED, 403, 404, 409))
async def delete_model_permissions(project_id: str, caller: AdminWriter) -> dict[str, Any]:
    """From now on the project may use every model. `deleted` is false where there were no permissions."""
    deleted = await models.remove_rule(caller.database, project_id)
    return {"object": "project.model_permissions.deleted", "deleted": deleted}


def _shown(rule: ModelRule) -> dict[str, Any]:
    return {"object": "project.model_permissions", "mode": rule.mode, "model_ids": list(rule.models)}
