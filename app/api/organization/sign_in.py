"""/organization/invites: one-time links for people; /organization/sessions: who is signed in where."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as QueryField

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.schemas.base import EXTENSION, DeletedOut, ListOut
from app.api.schemas.sign_in import InviteCreate, InviteOut, SessionOut
from app.control import invitations, sessions
from app.control.invitation_mail import mail_invitation
from app.control.served_address import served_address
from app.store.pages import Cursor
from app.store.sign_in import page_of_invitations

router = APIRouter()
_User = Annotated[str | None, QueryField(max_length=200, description="Only of this person: name or id.")]


@router.post("/invites", tags=["Invites"])
async def create_invite(caller: AdminWriter, body: Body[InviteCreate]) -> InviteOut:
    """Invite a person to the console. Only this answer has `url`, a link that sets a password once, within 72 hours; where a mail
    server is set it is mailed, too. For somebody known it is a new link, which replaces an earlier one. Extensions: the role
    `member`, `name`, `user_id`, `url`, `mailed`, `user_name`, `is_new_user`, `namesake`."""
    address = served_address(caller.public_url, caller.gateway.data_dir)
    new = await invitations.invite(caller.database, body.email, body.role, body.name)
    found, url = await caller.database.ask(invitations.get_invitation, new.id), new.url(address)
    mailed = await mail_invitation(caller.gateway.notifier, found, url)
    told: dict[str, str | bool | None] = {
        "user_name": new.user_name,
        "is_new_user": new.is_new_user,
        "namesake": new.namesake,
    }
    return InviteOut.at(found, caller.gateway.clock.now_ms(), url=url, mailed=mailed, **told)


@router.get("/invites", tags=["Invites"])
async def list_invites(caller: Admin, after: After = None, limit: Limit = LIMIT) -> ListOut[InviteOut]:
    """List invitations by creation, used and expired ones included."""
    page = await caller.database.ask(page_of_invitations, Cursor(after, limit))
    now_ms = caller.gateway.clock.now_ms()
    return ListOut[InviteOut].of_page(page, lambda found: InviteOut.at(found, now_ms))


@router.get("/invites/{invite_id}", tags=["Invites"])
async def retrieve_invite(caller: Admin, invite_id: str) -> InviteOut:
    """Retrieve an invitation, without its link."""
    found = await caller.database.ask(invitations.get_invitation, invite_id)
    return InviteOut.at(found, caller.gateway.clock.now_ms())


@router.delete("/invites/{invite_id}", tags=["Invites"])
async def delete_invite(caller: AdminWriter, invite_id: str) -> DeletedOut:
    """Delete an invitation: its link works no more. The person stays."""
    found = await invitations.delete_invitation(caller.database, invite_id)
    return DeletedOut.of("organization.invite", found.id)


@router.get("/sessions", tags=["Sessions (extension)"], openapi_extra=EXTENSION)
async def list_sessions(
    caller: Admin, user_id: _User = None, after: After = None, limit: Limit = LIMIT
) -> ListOut[SessionOut]:
    """List the sessions of the console that can be used, by creation."""
    page = await sessions.page_of_sessions(caller.database, Cursor(after, limit), user_id)
    return ListOut[SessionOut].of_page(page, SessionOut.of)


@router.delete("/sessions/{session_id}", tags=["Sessions (extension)"], openapi_extra=EXTENSION)
async def delete_session(caller: AdminWriter, session_id: str) -> DeletedOut:
    """End a session: its next request is refused."""
    session = await sessions.revoke_session(caller.database, session_id)
    return DeletedOut.of("organization.session", session.id)
