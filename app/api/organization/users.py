"""/organization/users: people who may hold keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request

from app.api.organization import resource_examples as examples
from app.api.organization import shapes
from app.api.organization.bodies import Body, Ignored, body
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed, values_of
from app.control import leaving, people
from app.control.people import UserChange
from app.store.pages import Cursor

router = APIRouter(prefix="/users", tags=["Users"])


class UserCreate(Body, json_schema_extra={"example": {"name": "lin", "email": "lin@example.com"}}):
    name: str
    email: str | None = None
    role: str = "reader"


class UserUpdate(Body, json_schema_extra={"example": {"role": "owner"}}):
    role: str | None = None
    role_id: Ignored = None
    developer_persona: Ignored = None
    technical_level: Ignored = None
    name: str | None = None
    email: str | None = None
    disabled: bool | None = None


@router.post("", **described(examples.USER, 400, 403, 409, body=UserCreate, extension=True))
async def create_user(admin: AdminWriter, wanted: Annotated[UserCreate, Depends(body(UserCreate))]) -> dict[str, Any]:
    """Ours: OpenAI invites. A user without a key, a project or a limit."""
    return shapes.user(await people.create_user(admin.database, wanted.name, wanted.email, wanted.role))


@router.get("", **described(list_object([examples.USER]), 400))
async def list_users(request: Request, admin: Admin, after: After = None, limit: Limit = LIMIT) -> dict[str, Any]:
    """People, by creation; with `emails` only theirs."""
    page = await people.page_of_users(admin.database, Cursor(after, limit), values_of(request, "emails"))
    return listed(page, shapes.user)


@router.get("/{user_id}", **described(examples.USER_WITH_PROJECTS, 404))
async def retrieve_user(admin: Admin, user_id: str) -> dict[str, Any]:
    """One of them, with the projects they belong to."""
    user, projects = await people.show_user(admin.database, user_id)
    return {**shapes.user(user), "projects": shapes.user_projects(projects)}


@router.post("/{user_id}", **described(examples.USER, 400, 403, 404, 409, body=UserUpdate))
async def modify_user(
    admin: AdminWriter, user_id: str, wanted: Annotated[UserUpdate, Depends(body(UserUpdate))]
) -> dict[str, Any]:
    """`role` is owner or reader, or a word of your own; none grants anything here. Ours: `name`, `email`, and `disabled`, which
    stops all their keys and can be undone: this one alone also of a service account."""
    change = UserChange(wanted.role, wanted.name, wanted.email, wanted.disabled)
    return shapes.user(await people.modify_user(admin.database, user_id, change))


@router.delete("/{user_id}", **described(examples.gone(examples.USER), 403, 404))
async def delete_user(admin: AdminWriter, user_id: str) -> dict[str, Any]:
    """For good, with their keys. What they used stays in every report, under their name."""
    return shapes.deleted("organization.user", (await leaving.delete_user(admin.database, user_id)).id)
