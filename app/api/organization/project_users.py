"""/organization/projects/{project_id}/users: who belongs to a project."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from app.api.organization import resource_examples as examples
from app.api.organization import shapes
from app.api.organization.bodies import Body, body
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.control import members as control
from app.store.pages import Cursor

router = APIRouter(prefix="/projects/{project_id}/users", tags=["Project users"])


class ProjectUserCreate(Body, json_schema_extra={"example": {"email": "lin@example.com", "role": "member"}}):
    role: str
    user_id: str | None = None
    email: str | None = None


class ProjectUserUpdate(Body, json_schema_extra={"example": {"role": "owner"}}):
    role: str | None = None


@router.post("", **described(examples.MEMBER, 400, 403, 404, 409, body=ProjectUserCreate))
async def create_project_user(
    admin: AdminWriter, project_id: str, wanted: Annotated[ProjectUserCreate, Depends(body(ProjectUserCreate))]
) -> dict[str, Any]:
    """Add somebody by `user_id` or `email`, or both where they are the same person's; without either, whose admin key it is.
    `role` is owner or member, or a word of your own; none grants more than another here."""
    user = wanted.user_id if wanted.user_id or wanted.email else admin.key.user_id
    added = await control.add_member(admin.database, project_id, wanted.role, user, wanted.email)
    return shapes.project_user(added)


@router.get("", **described(list_object([examples.MEMBER]), 400, 404))
async def list_project_users(
    admin: Admin, project_id: str, after: After = None, limit: Limit = LIMIT
) -> dict[str, Any]:
    """By when they were added."""
    return listed(await control.page_of_members(admin.database, project_id, Cursor(after, limit)), shapes.project_user)


@router.get("/{user_id}", **described(examples.MEMBER, 404))
async def retrieve_project_user(admin: Admin, project_id: str, user_id: str) -> dict[str, Any]:
    """One of them."""
    return shapes.project_user(await control.show_member(admin.database, project_id, user_id))


@router.post("/{user_id}", **described(examples.MEMBER, 400, 403, 404, 409, body=ProjectUserUpdate))
async def modify_project_user(
    admin: AdminWriter,
    project_id: str,
    user_id: str,
    wanted: Annotated[ProjectUserUpdate, Depends(body(ProjectUserUpdate))],
) -> dict[str, Any]:
    """Another role: owner or member, or a word of your own."""
    if wanted.role is None:
        return shapes.project_user(await control.show_member(admin.database, project_id, user_id))
    return shapes.project_user(await control.set_member_role(admin.database, project_id, user_id, wanted.role))


@router.delete("/{user_id}", **described(examples.gone(examples.MEMBER), 403, 404))
async def delete_project_user(admin: AdminWriter, project_id: str, user_id: str) -> dict[str, Any]:
    """Their keys in this project stop working, and work again when they are added again."""
    member = await control.remove_member(admin.database, project_id, user_id)
    return shapes.deleted("organization.project.user", member.id)
