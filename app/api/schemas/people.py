"""Users, members of projects and service accounts, in OpenAI's forms."""

from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, Ignored, InputModel, NamedOut, absent, seconds
from app.api.schemas.keys import ServiceAccountKeyCreated
from app.control.erasure import ErasureReport
from app.core.actors import AccessRole
from app.store.organization import User
from app.store.service_accounts import ServiceAccount

_LIN = {"id": "user-5f2m0c8b1x7k3v9d4h6j2n0q", "name": "lin", "email": "lin@example.com"}
_USER = {
    "object": "organization.user",
    **_LIN,
    "role": "reader",
    "access_role": "member",
    "added_at": 1795996800,
    "created": 1795996800,
    "is_default": False,
    "is_service_account": False,
    "is_scim_managed": False,
    "user": {"object": "user", **_LIN, "enabled": True, "banned": False, "banned_at": None, "picture": None},
    "disabled": False,
}
_ERASURE = {
    "object": "organization.user.erasure",
    "user_id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
    "name": "lin",
    "pseudonym": "erased-4h6j2n0q",
    "status": "none",
    "has_more": True,
    "requests": 412,
    "open_requests": 1,
    "answers": 3,
    "pictures": 398,
    "picture_bytes": 611_300_772,
    "keys": 2,
}
_ACCOUNT = {
    "object": "organization.project.service_account",
    "id": "user-1x7k3v9d4h6j2n0q5f2m0c8b",
    "name": "ci",
    "role": "member",
    "created_at": 1795996800,
}


class UserDetails(AnswerModel):
    """OpenAI's inner user object."""

    object: Literal["user"] = "user"
    id: str
    name: str
    email: str | None
    enabled: bool
    banned: bool
    banned_at: int | None
    picture: None = None


class UserProject(AnswerModel):
    """Project of a user, with the user's role in it."""

    id: str
    name: str
    role: str


class UserProjects(AnswerModel):
    """Projects of a user."""

    object: Literal["list"] = "list"
    data: list[UserProject]


class UserOut(NamedOut, json_schema_extra={"example": _USER}):
    """Person who may hold keys. Keys of a `disabled` user do not work. Lists leave out `projects`. `access_role` is what the
    person may do in the console; `role` is OpenAI's and grants nothing."""

    object: Literal["organization.user"] = "organization.user"
    id: str
    name: str
    email: str | None
    role: str
    access_role: AccessRole
    added_at: int
    created: int
    is_default: bool = False
    is_service_account: bool
    is_scim_managed: bool = False
    user: UserDetails
    disabled: bool
    projects: UserProjects | None = absent()

    @classmethod
    def of(cls, user: User, projects: list[tuple[str, str, str]] | None = None) -> Self:
        """Make the answer; `projects` has id, name and role of each project of the user."""
        disabled = user.disabled_at_ms is not None
        details = UserDetails.from_record(
            user, enabled=not disabled, banned=disabled, banned_at=seconds(user.disabled_at_ms)
        )
        listed = [UserProject(id=id, name=name, role=role) for id, name, role in projects or ()]
        return cls.from_record(
            user,
            added_at=seconds(user.created_at_ms),
            created=seconds(user.created_at_ms),
            user=details,
            disabled=disabled,
            projects=None if projects is None else UserProjects(data=listed),
        )


class UserErasureOut(AnswerModel, json_schema_extra={"example": _ERASURE}):
    """Erasure of a person. The counts are what is left: `requests` with a prompt, a digest or a message, stored `answers`, kept
    `pictures` and API `keys`; `open_requests` may still end, and what they bring is erased then."""

    object: Literal["organization.user.erasure"] = "organization.user.erasure"
    user_id: str
    name: str = Field(description="The name, and the pseudonym once it took its place.")
    pseudonym: str = Field(description="Name under which the money stays.")
    status: Literal["none", "begun", "ended"] = Field(
        description="`begun`: the gateway still erases what was under way; it ends after five minutes at the earliest."
    )
    has_more: bool = Field(description="Not all was gone through yet.")
    requests: int
    open_requests: int
    answers: int
    pictures: int
    picture_bytes: int
    keys: int

    @classmethod
    def of(cls, report: ErasureReport) -> Self:
        user, left = report.user, report.left
        status: Literal["begun", "ended"] = "begun" if user.erasure_ended_at_ms is None else "ended"
        return cls.from_record(
            left,
            user_id=user.id,
            name=user.name,
            pseudonym=report.pseudonym,
            status="none" if user.erased_at_ms is None else status,
            has_more=report.has_more,
            open_requests=left.open,
        )


class ProjectUserOut(
    AnswerModel,
    json_schema_extra={
        "example": {"object": "organization.project.user", **_LIN, "role": "member", "added_at": 1795996800}
    },
):
    """Member of a project."""

    object: Literal["organization.project.user"] = "organization.project.user"
    id: str
    name: str
    email: str | None
    role: str
    added_at: int


class ServiceAccountOut(NamedOut, json_schema_extra={"example": _ACCOUNT}):
    """Service account, with the role `none` where it has no role. Only the list of all projects has `project_id`."""

    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    id: str
    name: str
    role: str
    created_at: int
    project_id: str | None = absent()

    @classmethod
    def of(cls, account: ServiceAccount, **more: Any) -> Self:
        """Make the answer without `project_id`; `more` are the fields of a subclass."""
        return cls.from_record(account, role=account.role or "none", **{"project_id": None, **more})

    @classmethod
    def of_all(cls, account: ServiceAccount) -> Self:
        """Make the answer with `project_id`, for the list of the service accounts of all projects."""
        return cls.of(account, project_id=account.project_id)


class ServiceAccountCreated(ServiceAccountOut, json_schema_extra={"example": {**_ACCOUNT, "api_key": None}}):
    """New service account with its first key. `api_key` is null when it was created without."""

    api_key: ServiceAccountKeyCreated | None


class UserCreate(InputModel, json_schema_extra={"example": {"name": "lin", "email": "lin@example.com"}}):
    """User to create, without key, project or limit."""

    name: str
    email: str | None = None
    role: str = "reader"


class UserUpdate(InputModel, json_schema_extra={"example": {"role": "owner"}}):
    """Change of a user. Fields left out stay as they are."""

    role: str | None = None
    role_id: Ignored = None
    developer_persona: Ignored = None
    technical_level: Ignored = None
    name: str | None = None
    email: str | None = None
    disabled: bool | None = None
    access_role: str | None = None


class ProjectUserCreate(InputModel, json_schema_extra={"example": {"email": "lin@example.com", "role": "member"}}):
    """Member to add, by `user_id` or `email`."""

    role: str
    user_id: str | None = None
    email: str | None = None


class ProjectUserUpdate(InputModel, json_schema_extra={"example": {"role": "owner"}}):
    """Change of a member's role."""

    role: str | None = None


class ServiceAccountCreate(InputModel, json_schema_extra={"example": {"name": "ci"}}):
    """Service account to create. With `create_service_account_only` it has neither key nor role."""

    name: str
    create_service_account_only: bool | None = None
    expires_in_seconds: int | None = None


class ServiceAccountUpdate(InputModel, json_schema_extra={"example": {"name": "builder", "role": "owner"}}):
    """Change of a service account. Fields left out stay as they are."""

    name: str | None = None
    role: str | None = None
