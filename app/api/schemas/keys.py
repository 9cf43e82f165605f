"""API keys and admin API keys, in OpenAI's forms. Only the answer to a creation has the secret."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, NamedOut, absent, seconds
from app.api.schemas.limits import LimitSet
from app.store.admin_keys import AdminKeyRecord, AdminRole
from app.store.keys import KeyRecord

GRACE_S = 86_400
IMAGE_SCOPES = frozenset({"api.model.request", "model.request", "api.model.images.request"})
"""OpenAI's scopes for making images: the first is in its SDK (`audit_log_list_response.py`), the others in its refusals
("Missing scopes: ...")."""
READ_ONLY_SCOPE = "api.all.read"
_VALUE = "sk-ig-4f8c1n0a2b7m-..., shown this once"
_LIN = {
    "id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
    "name": "lin",
    "created_at": 1795996800,
    "role": "member",
    "email": "lin@example.com",
}
_KEY = {
    "object": "organization.project.api_key",
    "id": "key_4f8c1n0a2b7m",
    "name": "laptop",
    "redacted_value": "sk-ig-...x7Qa",
    "created_at": 1795996800,
    "last_used_at": 1795996860,
    "expires_at": 1803772800,
    "owner": {"type": "user", "user": _LIN},
    "owner_project_access": "active",
    "models": ["seedream-3.0"],
    "scopes": [],
    "previous_value_expires_at": None,
}
_PROJECT = {"id": "proj_3v9d4h6j2n0q5f2m0c8b1x7k", "name": "web"}
_ADMIN_KEY = {
    "object": "organization.admin_api_key",
    "id": "key_9d4h6j2n0q5f",
    "name": "automation",
    "redacted_value": "sk-ig-admin-...k3Vm",
    "created_at": 1795996800,
    "expires_at": None,
    "last_used_at": None,
    "owner": {
        "type": "user",
        "object": "organization.user",
        "id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
        "name": "lin",
        "created_at": 1795996800,
        "role": "owner",
    },
    "role": "owner",
}


class KeyServiceAccount(AnswerModel):
    """Service account of a key, with its role in the key's project, `none` without one."""

    id: str
    name: str
    created_at: int
    role: str


class KeyUser(KeyServiceAccount):
    """User of a key. `email` is empty where none is known, because OpenAI's is never null."""

    email: str


class KeyOwner(AnswerModel):
    """Owner of a key, in `user` or `service_account`."""

    type: Literal["user", "service_account"]
    user: KeyUser | None = absent()
    service_account: KeyServiceAccount | None = absent()

    @classmethod
    def of(cls, key: KeyRecord) -> Self:
        """Make the owner of a stored key."""
        fields = {"id": key.user_id, "name": key.user, "created_at": seconds(key.user_created_at_ms)}
        account = KeyServiceAccount(**fields, role=key.owner_role or "none")
        if key.user_kind == "service_account":
            return cls(type="service_account", service_account=account)
        return cls(type="user", user=KeyUser(**account.model_dump(), email=key.user_email or ""))


class ProjectApiKeyOut(NamedOut, json_schema_extra={"example": _KEY}):
    """API key of a project. `models` null means all of the catalog; `scopes` is empty for a key that may do everything."""

    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    id: str
    name: str
    redacted_value: str
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    owner: KeyOwner
    owner_project_access: Literal["active", "inactive"]
    models: list[str] | None
    scopes: list[str]
    previous_value_expires_at: int | None

    @classmethod
    def of(cls, key: KeyRecord, **more: Any) -> Self:
        """Make the answer from a stored key; `more` are the fields of a subclass."""
        return cls.from_record(
            key,
            redacted_value=f"sk-ig-...{key.last_four}",
            owner=KeyOwner.of(key),
            owner_project_access="active" if key.owner_has_access else "inactive",
            scopes=scopes_of(key),
            previous_value_expires_at=seconds(key.previous_until_ms),
            **more,
        )


class ProjectApiKeyCreated(ProjectApiKeyOut, json_schema_extra={"example": {**_KEY, "value": _VALUE}}):
    """New or rotated API key. Only this answer has `value`, its secret."""

    value: str


class KeyProject(AnswerModel):
    """Project of a key."""

    id: str
    name: str


class ApiKeyOut(
    ProjectApiKeyOut,
    json_schema_extra={"example": {**_KEY, "project": _PROJECT, "status": "active", "revoked_at": None}},
):
    """API key in the list of all projects, which includes revoked ones."""

    project: KeyProject
    status: str = Field(
        description="`active`, `revoked`, `expired`, `owner disabled`, `owner not in project` or `project archived`."
    )
    revoked_at: int | None

    @classmethod
    def at(cls, key: KeyRecord, now_ms: int) -> Self:
        """Make the answer with the status at an instant."""
        project = KeyProject(id=key.project_id, name=key.project)
        return cls.of(key, project=project, status=key.status_at(now_ms))


class ServiceAccountKeyCreated(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "organization.project.service_account.api_key",
            "id": "key_4f8c1n0a2b7m",
            "name": "ci",
            "created_at": 1795996800,
            "expires_at": None,
            "value": _VALUE,
            "scopes": [],
        }
    },
):
    """New key of a service account. Only this answer has `value`, its secret."""

    object: Literal["organization.project.service_account.api_key"] = "organization.project.service_account.api_key"
    id: str
    name: str
    created_at: int
    expires_at: int | None
    value: str
    scopes: list[str]


class AdminKeyOwner(AnswerModel):
    """Owner of an admin API key. Its fields are null where the key has no owner."""

    type: Literal["user"] = "user"
    object: Literal["organization.user"] = "organization.user"
    id: str | None
    name: str | None
    created_at: int | None
    role: Literal["owner"] = "owner"


class AdminApiKeyOut(NamedOut, json_schema_extra={"example": _ADMIN_KEY}):
    """Admin API key. With the `role` owner it may do everything, with reader only read."""

    object: Literal["organization.admin_api_key"] = "organization.admin_api_key"
    id: str
    name: str
    redacted_value: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None = None
    owner: AdminKeyOwner
    role: AdminRole

    @classmethod
    def of(cls, key: AdminKeyRecord, **more: Any) -> Self:
        """Make the answer from a stored key; `more` are the fields of a subclass."""
        owner = AdminKeyOwner(id=key.user_id, name=key.owner_name, created_at=seconds(key.owner_created_at_ms))
        return cls.from_record(key, redacted_value=f"sk-ig-admin-...{key.last_four}", owner=owner, **more)


class AdminApiKeyCreated(
    AdminApiKeyOut,
    json_schema_extra={"example": {**_ADMIN_KEY, "value": "sk-ig-admin-9d4h6j2n0q5f-..., shown this once"}},
):
    """New admin API key. Only this answer has `value`, its secret."""

    value: str


Scopes = Annotated[list[str] | None, Field(description="Empty or null allows everything; see `scopes` of the answer.")]
"""OpenAI's permissions of a key; see `is_read_only`. An unknown scope grants nothing."""


class KeyLimitSet(LimitSet):
    """Limit of the new key. `model` null is for any model."""

    amount: int
    model: Annotated[str, Field(max_length=128)] | None = None


class ApiKeyCreate(
    InputModel,
    json_schema_extra={
        "example": {
            "user_id": "lin",
            "name": "laptop",
            "expires_in_seconds": 7776000,
            "models": ["seedream-3.0"],
            "limits": [{"unit": "images", "interval": "day", "amount": 100}],
        }
    },
):
    """API key to create. `user_id` is a person by id or name, or a service account by id."""

    user_id: str
    name: str | None = None
    expires_in_seconds: int | None = None
    models: list[str] | None = None
    limits: list[KeyLimitSet] | None = None
    scopes: Scopes = None


class ApiKeyUpdate(InputModel, json_schema_extra={"example": {"expires_in_seconds": 7776000}}):
    """Change of an API key. Fields left out stay as they are."""

    expires_in_seconds: int | None = None
    scopes: Scopes = None
    name: str | None = None
    models: list[str] | None = None


class ApiKeyRotate(InputModel, json_schema_extra={"example": {"grace_period_seconds": GRACE_S}}):
    """Rotation of a key. The old secret works for `grace_period_seconds` more."""

    grace_period_seconds: int = GRACE_S


class ServiceAccountKeyCreate(
    InputModel, json_schema_extra={"example": {"name": "second", "expires_in_seconds": 7776000}}
):
    """Key to create for a service account."""

    name: str | None = None
    expires_in_seconds: int | None = None
    scopes: Scopes = None


class AdminApiKeyCreate(InputModel, json_schema_extra={"example": {"name": "automation"}}):
    """Admin API key to create. `user_id` is its owner; without it, the owner of the calling key."""

    name: str
    expires_in_seconds: int | None = None
    role: str = "owner"
    user_id: str | None = None


def is_read_only(scopes: list[str] | None) -> bool:
    """True when a key with these scopes may buy no images. Null and an empty list are every permission, as at OpenAI."""
    return bool(scopes) and IMAGE_SCOPES.isdisjoint(scopes or ())


def scopes_of(key: KeyRecord) -> list[str]:
    """Return OpenAI's scopes of a key, empty for one that may do everything."""
    return [READ_ONLY_SCOPE] if key.models == () else []
