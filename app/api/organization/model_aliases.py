"""/organization/model_aliases: names that stand for models (an extension)."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import Body
from app.api.schemas.base import ListOut, RemovedOut
from app.api.schemas.model_aliases import ModelAliasOut, ModelAliasSet
from app.control import model_aliases

router = APIRouter(prefix="/model_aliases", tags=["Model aliases (extension)"])


@router.get("")
async def list_model_aliases(caller: Admin) -> ListOut[ModelAliasOut]:
    """List aliases by creation, with the translation in effect."""
    return ListOut[ModelAliasOut].of(map(ModelAliasOut.of, await model_aliases.list_aliases(caller.database)))


@router.post("")
async def set_model_alias(caller: AdminWriter, body: Body[ModelAliasSet]) -> ModelAliasOut:
    """Let a name or pattern stand for a model from the next request on. Permissions, limits and prices are those of the model."""
    return ModelAliasOut.of(await model_aliases.set_alias(caller.database, body.change()))


@router.delete("")
async def delete_model_alias(
    caller: AdminWriter, name: Annotated[str, Query(max_length=128, description="The name or pattern.")]
) -> RemovedOut:
    """Delete an alias. Requests that were made with it stay in the book."""
    await model_aliases.remove_alias(caller.database, name)
    return RemovedOut(object="model_alias.deleted", deleted=True)
