"""Invitations, in OpenAI's form, and sessions."""

from typing import Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, absent, seconds
from app.core.actors import AccessRole
from app.store.sign_in import Invitation, Session

_INVITE = {
    "object": "organization.invite",
    "id": "invite-6j2n0q5f2m0c8b1x7k3v9d4h",
    "email": "lin@example.com",
    "role": "member",
    "status": "pending",
    "created_at": 1795996800,
    "invited_at": 1795996800,
    "expires_at": 1796256000,
    "accepted_at": None,
    "projects": [],
    "user_id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
}


class InviteOut(AnswerModel, json_schema_extra={"example": _INVITE}):
    """Invitation. `role` is the access role of its person, who exists already: `user_id`. `email` is empty where none is known."""

    object: Literal["organization.invite"] = "organization.invite"
    id: str
    email: str
    role: AccessRole
    status: Literal["accepted", "expired", "pending"]
    created_at: int
    invited_at: int
    expires_at: int
    accepted_at: int | None
    projects: list[dict[str, str]]
    user_id: str
    url: str | None = absent()
    mailed: bool | None = absent()
    user_name: str | None = absent()
    is_new_user: bool | None = absent()
    namesake: str | None = absent()

    @classmethod
    def at(cls, found: Invitation, now_ms: int, **created: str | bool | None) -> Self:
        """Make the answer with the status at an instant. Only the answer to a creation has the fields of `created`: the link,
        whether it was mailed, whom it is for, and a user without an address who has the name that the address begins with."""
        pending: Literal["expired", "pending"] = "pending" if now_ms < found.expires_at_ms else "expired"
        return cls.from_record(
            found,
            email=found.email or "",
            role=found.access_role,
            status="accepted" if found.accepted_at_ms is not None else pending,
            invited_at=seconds(found.created_at_ms),
            projects=[],
            **created,
        )


class InviteCreate(InputModel, json_schema_extra={"example": {"email": "lin@example.com", "role": "member"}}):
    """Person to invite. Without `role` somebody known keeps theirs, and somebody new is a member."""

    email: str
    role: str | None = Field(None, description="owner, reader or member: what their sessions may do.")
    name: str | None = Field(
        None,
        description="Name of somebody who has no address yet, or of somebody new; by default the address before its @.",
    )


class SessionOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "organization.session",
            "id": "sess_9d4h6j2n0q5f2m0c8b1x7k3v",
            "user_id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
            "user_name": "lin",
            "role": "member",
            "browser": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            "created_at": 1795996800,
            "last_seen_at": 1796000400,
        }
    },
):
    """Sign-in of a person in one browser."""

    object: Literal["organization.session"] = "organization.session"
    id: str
    user_id: str
    user_name: str
    role: AccessRole
    browser: str
    created_at: int
    last_seen_at: int

    @classmethod
    def of(cls, session: Session) -> Self:
        seen = seconds(session.seen_at_ms)
        return cls.from_record(session, user_name=session.name, role=session.access_role, last_seen_at=seen)
