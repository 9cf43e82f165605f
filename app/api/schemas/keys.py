"""API keys, in OpenAI's forms. Only the answer to a creation has the secret."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, NamedOut, absent, seconds
from app.api.schemas.limits import LimitSet
from app.errors import InvalidValue, MissingParameter
from app.store.keys import KeyRecord, KeyStatus

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
    status: KeyStatus
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


class ApiKeyRotate(InputModel, json_schema_extra={"example": {"grace_period_seconds": 86_400}}):
    """Rotation of a key, with one of the two: `leaked` stops the old secret at once, with `grace_period_seconds` it works for that
    long."""

    leaked: bool = False
    grace_period_seconds: int | None = None

    def grace_s(self) -> int:
        """Return the seconds that the old secret goes on. Raises MissingParameter and InvalidValue unless one of them is given."""
        if self.leaked and self.grace_period_seconds:
            raise InvalidValue("Give leaked or grace_period_seconds, not both.", param="grace_period_seconds")
        if not self.leaked and self.grace_period_seconds is None:
            message = "leaked=true stops it at once, grace_period_seconds=86400 lets it work for a day"
            raise MissingParameter(f"Say what becomes of the old value: {message}.", param="grace_period_seconds")
        return self.grace_period_seconds or 0


class ApiKeyMove(InputModel, json_schema_extra={"example": {"project_id": "posters"}}):
    """Move of a key to a project, an owner or both, by id or name (a service account by id)."""

    project_id: Annotated[str, Field(max_length=200)] | None = None
    user_id: Annotated[str, Field(max_length=200)] | None = None


class ServiceAccountKeyCreate(
    InputModel, json_schema_extra={"example": {"name": "second", "expires_in_seconds": 7776000}}
):
    """Key to create for a service account."""

    name: str | None = None
    expires_in_seconds: int | None = None
    scopes: Scopes = None


def is_read_only(scopes: list[str] | None) -> bool:
    """True when a key with these scopes may buy no images. Null and an empty list are every permission, as at OpenAI."""
    return bool(scopes) and IMAGE_SCOPES.isdisjoint(scopes or ())


def scopes_of(key: KeyRecord) -> list[str]:
    """Return OpenAI's scopes of a key, empty for one that may do everything."""
    return [READ_ONLY_SCOPE] if key.models == () else []
