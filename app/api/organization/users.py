"""/organization/users: people who may hold keys; /organization/projects/{project_id}/users: the people of a project."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import LIMIT, After, JsonBody, Limit, values_of
from app.api.schemas.base import EXTENSION, DeletedOut, ListOut
from app.api.schemas.people import ProjectUserCreate, ProjectUserOut, ProjectUserUpdate, UserCreate, UserOut, UserUpdate
from app.control import deletion, members, people
from app.control.people import UserChange
from app.store.pages import Cursor

router = APIRouter(tags=["Users"])
IN_PROJECT = "/projects/{project_id}/users"


@router.post("/users", openapi_extra=EXTENSION)
async def create_user(caller: AdminWriter, body: Annotated[UserCreate, Depends(JsonBody(UserCreate))]) -> UserOut:
    """Make a user without a key, a project or a limit. OpenAI invites instead."""
    return UserOut.of(await people.create_user(caller.database, body.name, body.email, body.role))


@router.get("/users")
async def list_users(request: Request, caller: Admin, after: After = None, limit: Limit = LIMIT) -> ListOut[UserOut]:
    """People by creation; with `emails` only theirs."""
    page = await people.page_of_users(caller.database, Cursor(after, limit), values_of(request, "emails"))
    return ListOut[UserOut].of_page(page, UserOut.of)


@router.get("/users/{user_id}")
async def retrieve_user(caller: Admin, user_id: str) -> UserOut:
    """One person, with the projects they belong to."""
    return UserOut.of(*await people.show_user(caller.database, user_id))


@router.post("/users/{user_id}")
async def modify_user(
    caller: AdminWriter, user_id: str, body: Annotated[UserUpdate, Depends(JsonBody(UserUpdate))]
) -> UserOut:
    """Change a user. `role` is owner or reader, or a word of your own; none grants anything here. Extensions: `name`, `email`,
    and `disabled`, which stops all their keys and can be undone: this one alone also of a service account."""
    change = UserChange(body.role, body.name, body.email, body.disabled)
    return UserOut.of(await people.modify_user(caller.database, user_id, change))


@router.delete("/users/{user_id}")
async def delete_user(caller: AdminWriter, user_id: str) -> DeletedOut:
    """Delete a user for good, with their keys. What they used stays in every report, under their name."""
    return DeletedOut.of("organization.user", (await deletion.delete_user(caller.database, user_id)).id)


@router.post(IN_PROJECT)
async def create_project_user(
    caller: AdminWriter, project_id: str, body: Annotated[ProjectUserCreate, Depends(JsonBody(ProjectUserCreate))]
) -> ProjectUserOut:
    """Add somebody by `user_id` or `email`, or both where they are the same person's; without either, the owner of the calling
    key. `role` is owner or member, or a word of your own; none grants more than another here."""
    user = body.user_id if body.user_id or body.email else caller.user_id
    return ProjectUserOut.from_record(
        await members.add_member(caller.database, project_id, body.role, user, body.email)
    )


@router.get(IN_PROJECT)
async def list_project_users(
    caller: Admin, project_id: str, after: After = None, limit: Limit = LIMIT
) -> ListOut[ProjectUserOut]:
    """The people of a project, by when they were added."""
    page = await members.page_of_members(caller.database, project_id, Cursor(after, limit))
    return ListOut[ProjectUserOut].of_page(page, ProjectUserOut.from_record)


@router.get(IN_PROJECT + "/{user_id}")
async def retrieve_project_user(caller: Admin, project_id: str, user_id: str) -> ProjectUserOut:
    """One person of a project."""
    return ProjectUserOut.from_record(await members.show_member(caller.database, project_id, user_id))


@router.post(IN_PROJECT + "/{user_id}")
async def modify_project_user(
    caller: AdminWriter,
    project_id: str,
    user_id: str,
    body: Annotated[ProjectUserUpdate, Depends(JsonBody(ProjectUserUpdate))],
) -> ProjectUserOut:
    """Give another role: owner or member, or a word of your own."""
    if body.role is None:
        return ProjectUserOut.from_record(await members.show_member(caller.database, project_id, user_id))
    return ProjectUserOut.from_record(await members.set_member_role(caller.database, project_id, user_id, body.role))


@router.delete(IN_PROJECT + "/{user_id}")
async def delete_project_user(caller: AdminWriter, project_id: str, user_id: str) -> DeletedOut:
    """Remove somebody from a project: their keys in it stop working, and work again when they are added again."""
    member = await members.remove_member(caller.database, project_id, user_id)
    return DeletedOut.of("organization.project.user", member.id)
