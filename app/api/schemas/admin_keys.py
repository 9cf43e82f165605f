"""Admin API keys, in OpenAI's form. Only the answer to a creation has the secret."""

from typing import Any, Literal, Self

from app.api.schemas.base import AnswerModel, InputModel, NamedOut, seconds
from app.store.admin_keys import AdminKeyRecord, AdminRole

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


class AdminApiKeyCreate(InputModel, json_schema_extra={"example": {"name": "automation"}}):
    """Admin API key to create. `user_id` is its owner; without it, the owner of the calling key."""

    name: str
    expires_in_seconds: int | None = None
    role: str = "owner"
    user_id: str | None = None
