"""/organization/users: people who may hold keys; /organization/projects/{project_id}/users: members of a project."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit, read_text, values_of
from app.api.schemas.base import EXTENSION, DeletedOut, ListOut
from app.api.schemas.imports import UsersImportOut
from app.api.schemas.people import (
    ProjectUserCreate,
    ProjectUserOut,
    ProjectUserUpdate,
    UserCreate,
    UserErasureOut,
    UserOut,
    UserUpdate,
)
from app.control import deletion, members, people
from app.control.people import UserChange
from app.control.people_files import FILE_BYTES_MAX, HEAD, read_people
from app.control.people_import import import_people
from app.errors import UnsupportedMediaType
from app.store.organization import page_of_users
from app.store.pages import Cursor

router = APIRouter(tags=["Users"])
ERASE_S = 2.0
"""Longest time of one call that erases, in seconds: whoever calls shows the progress and calls again."""
IN_PROJECT = "/projects/{project_id}/users"
_EXAMPLE = f"{HEAD}\nlin,lin@example.com,posters,member,spend/month=10.00 images/day=20\n"
_CSV = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.post("/users", openapi_extra=EXTENSION)
async def create_user(caller: AdminWriter, body: Body[UserCreate]) -> UserOut:
    """Create a user without key, project or limit. OpenAI has invitations instead."""
    return UserOut.of(await people.create_user(caller.database, body.name, body.email, body.role))


@router.get("/users")
async def list_users(request: Request, caller: Admin, after: After = None, limit: Limit = LIMIT) -> ListOut[UserOut]:
    """List people by creation; `emails` selects by address."""
    page = await caller.database.ask(page_of_users, Cursor(after, limit), values_of(request, "emails"))
    return ListOut[UserOut].of_page(page, UserOut.of)


@router.post("/users.csv", openapi_extra=_CSV | EXTENSION)
async def import_users(
    request: Request,
    caller: AdminWriter,
    create_projects: Annotated[bool, Query(description="Make projects that are missing, instead of a 400.")] = False,
    dry_run: Annotated[bool, Query(description="Answer with what would be made, and make nothing.")] = False,
) -> UsersImportOut:
    """Make what is missing of a team, all or none: people, projects, memberships, limits, and a key for each person and project.
    The document is a table with the columns `name`, `mail`, `project`, `role` and `limits`, of which only `name` must be there.
    Whatever exists stays as it is. Only this answer has the `value` of the new keys."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
        raise UnsupportedMediaType("Send the people as text/csv.")
    lines = read_people(await read_text(request, FILE_BYTES_MAX))
    people = await import_people(
        caller.database, caller.pepper, lines, create_projects=create_projects, dry_run=dry_run
    )
    return UsersImportOut.of(people, dry_run=dry_run)


@router.get("/users/{user_id}")
async def retrieve_user(caller: Admin, user_id: str) -> UserOut:
    """Retrieve a person with the projects they belong to."""
    return UserOut.of(*await people.show_user(caller.database, user_id))


@router.post("/users/{user_id}")
async def modify_user(caller: AdminWriter, user_id: str, body: Body[UserUpdate]) -> UserOut:
    """Change a user. `role` is owner, reader or any text; none grants anything here. Extensions: `name`, `email`, `access_role`
    (owner, reader or member of the console), and `disabled`, which stops all keys of the user until it is false. Of a service
    account only `disabled` can be changed."""
    change = UserChange(body.role, body.name, body.email, body.disabled, body.access_role)
    return UserOut.of(await people.modify_user(caller.database, user_id, change))


@router.delete("/users/{user_id}")
async def delete_user(caller: AdminWriter, user_id: str) -> DeletedOut:
    """Delete a user for good, with their keys. Reports keep their usage and name."""
    return DeletedOut.of("organization.user", (await deletion.delete_user(caller.database, user_id)).id)


@router.get("/users/{user_id}/erasure", openapi_extra=EXTENSION)
async def retrieve_user_erasure(caller: Admin, user_id: str) -> UserErasureOut:
    """Return what an erasure of a person would take, or has left. `user_id` is an id or a name, also of a deleted person."""
    return UserErasureOut.of(await caller.gateway.erasure(caller.database).preview(user_id))


@router.post("/users/{user_id}/erase", openapi_extra=EXTENSION)
async def erase_user(caller: AdminWriter, user_id: str) -> UserErasureOut:
    """Delete a person for good, then erase for at most 2 s per call what the gateway holds of them: prompts, pictures, stored
    answers, digests, words of refusals, and their name and address everywhere. Call it again while it answers `has_more`; the
    gateway goes on by itself, too.

    The money stays under a pseudonym. Backups are not changed, nor what a PostgreSQL server still has in old rows until its VACUUM.
    """
    return UserErasureOut.of(await caller.gateway.erasure(caller.database).erase(user_id, ERASE_S))


@router.post(IN_PROJECT)
async def create_project_user(caller: AdminWriter, project_id: str, body: Body[ProjectUserCreate]) -> ProjectUserOut:
    """Add a member by `user_id`, `email` or both, which must be the same person's; without either, the owner of the calling key.
    `role` is owner, member or any text; none grants more than another here."""
    user = body.user_id if body.user_id or body.email else caller.user_id
    return ProjectUserOut.from_record(
        await members.add_member(caller.database, project_id, body.role, user, body.email)
    )


@router.get(IN_PROJECT)
async def list_project_users(
    caller: Admin, project_id: str, after: After = None, limit: Limit = LIMIT
) -> ListOut[ProjectUserOut]:
    """List the members of a project by the time they were added."""
    page = await members.page_of_members(caller.database, project_id, Cursor(after, limit))
    return ListOut[ProjectUserOut].of_page(page, ProjectUserOut.from_record)


@router.get(IN_PROJECT + "/{user_id}")
async def retrieve_project_user(caller: Admin, project_id: str, user_id: str) -> ProjectUserOut:
    """Retrieve a member of a project."""
    return ProjectUserOut.from_record(await members.show_member(caller.database, project_id, user_id))


@router.post(IN_PROJECT + "/{user_id}")
async def modify_project_user(
    caller: AdminWriter, project_id: str, user_id: str, body: Body[ProjectUserUpdate]
) -> ProjectUserOut:
    """Change the role of a member: owner, member or any text."""
    if body.role is None:
        return ProjectUserOut.from_record(await members.show_member(caller.database, project_id, user_id))
    return ProjectUserOut.from_record(await members.set_member_role(caller.database, project_id, user_id, body.role))


@router.delete(IN_PROJECT + "/{user_id}")
async def delete_project_user(caller: AdminWriter, project_id: str, user_id: str) -> DeletedOut:
    """Remove a member. Their keys in the project stop working, and work again when they are added again."""
    member = await members.remove_member(caller.database, project_id, user_id)
    return DeletedOut.of("organization.project.user", member.id)
