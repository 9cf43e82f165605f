"""Audit log in OpenAI's form, with the additions `event`, `before` and `after`."""

from typing import Any, Literal, Self, get_args

from pydantic import ConfigDict

from app.api.schemas.base import AnswerModel, absent, seconds
from app.core.actors import Actor
from app.store.audit_logs import LoggedChange
from app.store.ledger.corrections import Kind

OWN_EVENTS = {
    "admin_api_key.created": "api_key.created",
    "admin_api_key.deleted": "api_key.deleted",
} | dict.fromkeys(
    (
        *("alert.created", "alert.updated", "alert.deleted", "alert.tested"),
        *("limit.updated", "limit.deleted"),
        *("limit_increase.requested", "limit_increase.approved", "limit_increase.declined"),
        *("model.created", "model.updated", "model.deleted"),
        *("model_alias.created", "model_alias.updated", "model_alias.deleted"),
        *("model_permissions.updated", "model_permissions.deleted"),
        *("pictures.listed", "pictures.pruned", "picture.opened", "picture.linked", "picture.deleted"),
        *("price.created", "price.ended"),
        *("relay.created", "relay.updated", "relay.key_replaced", "relay.deleted"),
        *("session.revoked", "statement.closed", "user.erased"),
        *(f"request.{kind}" for kind in get_args(Kind)),
    ),
    "organization.updated",
)
"""OpenAI's `type` by our event, for events that OpenAI does not have: its SDKs accept no other type."""
_LOG = {
    "object": "organization.audit_log",
    "id": "audit_log-6j2n0q5f2m0c8b1x7k3v9d4h",
    "type": "project.updated",
    "effective_at": 1795996800,
    "actor": {
        "type": "api_key",
        "api_key": {"id": "key_9d4h6j2n0q5f", "type": "user", "user": {"id": None, "email": "lin@example.com"}},
        "kind": "admin_api_key",
        "name": "automation",
    },
    "event": "project.updated",
    "before": {"name": "site", "archived": False},
    "after": {"name": "web", "archived": False},
    "project": {"id": "proj_3v9d4h6j2n0q5f2m0c8b1x7k", "name": "web"},
    "project.updated": {"id": "proj_3v9d4h6j2n0q5f2m0c8b1x7k", "changes_requested": {"name": "web"}},
}


class ActorUser(AnswerModel):
    """Person behind an actor. Unknown fields are null."""

    id: str | None
    email: str | None


class ActorApiKey(AnswerModel):
    """Admin API key of an actor."""

    id: str
    type: Literal["user"] = "user"
    user: ActorUser


class ActorSession(AnswerModel):
    """Session of an actor without an admin API key."""

    user: ActorUser


class ActorOut(AnswerModel):
    """Author of a change. OpenAI knows two kinds, `api_key` and `session`; `kind` is ours."""

    type: Literal["api_key", "session"]
    api_key: ActorApiKey | None = absent()
    session: ActorSession | None = absent()
    kind: str
    name: str

    @classmethod
    def of(cls, actor: Actor) -> Self:
        if actor.kind == "admin_api_key":
            key = ActorApiKey(id=actor.id, user=ActorUser(id=None, email=actor.email))
            return cls(type="api_key", api_key=key, kind=actor.kind, name=actor.name)
        session = ActorSession(user=ActorUser(id=actor.id, email=actor.email))
        return cls(type="session", session=session, kind=actor.kind, name=actor.name)


class LoggedProject(AnswerModel):
    """Project of a change, with its current name."""

    id: str
    name: str | None


class AuditLogOut(AnswerModel, json_schema_extra={"example": _LOG}):
    """Change. Its details are in a field named like `type`, and again in one named like `event`."""

    model_config = ConfigDict(extra="allow")

    object: Literal["organization.audit_log"] = "organization.audit_log"
    id: str
    type: str
    effective_at: int
    actor: ActorOut
    event: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    project: LoggedProject | None = absent()

    @classmethod
    def of(cls, change: LoggedChange) -> Self:
        type = OWN_EVENTS.get(change.event, change.event)
        details: dict[str, Any] = {type: {"id": change.target_id}, change.event: _details(change)}
        project = LoggedProject(id=change.project_id, name=change.project) if change.project_id is not None else None
        return cls(
            id=change.id,
            type=type,
            effective_at=seconds(change.at_ms),
            actor=ActorOut.of(change.actor),
            event=change.event,
            before=change.before,
            after=change.after,
            project=project,
            **details,
        )


def _details(change: LoggedChange) -> dict[str, Any]:
    """Make OpenAI's details: the id, with the created object as `data` or the changed fields."""
    if change.after is None:
        return {"id": change.target_id}
    if change.before is None:
        return {"id": change.target_id, "data": change.after}
    before = change.before
    changed = {name: value for name, value in change.after.items() if before.get(name) != value}
    return {"id": change.target_id, "changes_requested": changed}
