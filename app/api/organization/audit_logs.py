"""/organization/audit_logs: every change, who made it, and what was before and after."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query
from starlette.requests import Request

from app.api.organization import resource_examples as examples
from app.api.organization.deps import Admin
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed, seconds_of, values_of
from app.api.organization.shapes import Shape, seconds
from app.control.audit_logs import LoggedChange, Wanted, page_of_changes
from app.core.actors import Actor
from app.store.ledger.corrections import Kind
from app.store.pages import Cursor

router = APIRouter(prefix="/audit_logs", tags=["Audit logs"])

OURS = {
    "admin_api_key.created": "api_key.created",
    "admin_api_key.deleted": "api_key.deleted",
} | dict.fromkeys(
    (
        *("alert.created", "alert.updated", "alert.deleted"),
        *("limit.updated", "limit.deleted"),
        *("model.created", "model.updated"),
        *("model_permissions.updated", "model_permissions.deleted"),
        "price.created",
        *(f"request.{kind}" for kind in get_args(Kind)),
    ),
    "organization.updated",
)
"""Events that OpenAI has no name for, and what their `type` is there: its SDKs list all that may be. `event` has our own name."""


@router.get("", **described(list_object([examples.AUDIT_LOG]), 400))
async def list_audit_logs(
    request: Request,
    admin: Admin,
    after: After = None,
    before: After = None,
    limit: Limit = LIMIT,
    tenant_only: Annotated[bool, Query(description="There are no such events here.")] = False,
) -> dict[str, Any]:
    """Newest first. `event_types`, `actor_ids`, `actor_emails`, `project_ids`, `resource_ids` may be given many times;
    `effective_at[gt|gte|lt|lte]` in seconds. Ours: `event`, `before` and `after` of each change; an event of what only this
    gateway has is an `organization.updated`, and may be asked for by either name."""
    if tenant_only:
        return list_object([])
    cursor = Cursor(after, limit, descending=True, before=before)
    return listed(await page_of_changes(admin.database, cursor, _wanted(request)), _shown)


def _wanted(request: Request) -> Wanted:
    """The log has milliseconds and the filter seconds: an event belongs to the second it is shown with."""
    at = {name: seconds_of(request, f"effective_at[{name}]") for name in ("gt", "gte", "lt", "lte")}
    after = [value for value in (at["gte"], None if at["gt"] is None else at["gt"] + 1) if value is not None]
    until = [value for value in (at["lt"], None if at["lte"] is None else at["lte"] + 1) if value is not None]
    return Wanted(
        events=_named(values_of(request, "event_types")),
        actor_ids=values_of(request, "actor_ids"),
        actor_emails=values_of(request, "actor_emails"),
        project_ids=values_of(request, "project_ids"),
        target_ids=values_of(request, "resource_ids"),
        from_ms=max(after) * 1000 if after else None,
        until_ms=min(until) * 1000 if until else None,
    )


def _named(types: Sequence[str]) -> list[str]:
    """By our own names, those of what is shown as one of `types`."""
    return [*types, *(event for event, shown in OURS.items() if shown in types)]


def _shown(change: LoggedChange) -> Shape:
    type = OURS.get(change.event, change.event)
    shape: Shape = {
        "object": "organization.audit_log",
        "id": change.id,
        "type": type,
        "effective_at": seconds(change.at_ms),
        "actor": _actor(change.actor),
        type: {"id": change.target_id},
        change.event: _details(change),
        "event": change.event,  # ours, down to the end
        "before": change.before,
        "after": change.after,
    }
    if change.project_id is not None:
        shape["project"] = {"id": change.project_id, "name": change.project}
    return shape


def _actor(actor: Actor) -> Shape:
    """OpenAI knows two kinds: whoever did not come with an admin API key is shown as a session."""
    ours = {"kind": actor.kind, "name": actor.name}
    if actor.kind == "admin_api_key":
        user = {"id": None, "email": actor.email}
        return {"type": "api_key", "api_key": {"id": actor.id, "type": "user", "user": user}, **ours}
    return {"type": "session", "session": {"user": {"id": actor.id, "email": actor.email}}, **ours}


def _details(change: LoggedChange) -> Shape:
    """OpenAI's: the id, with the payload of what was made, or what of it was changed."""
    if change.after is None:
        return {"id": change.target_id}
    if change.before is None:
        return {"id": change.target_id, "data": change.after}
    before = change.before
    changed = {name: value for name, value in change.after.items() if before.get(name) != value}
    return {"id": change.target_id, "changes_requested": changed}
