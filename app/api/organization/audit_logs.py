"""/organization/audit_logs: changes with their author, and the values before and after."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from app.api.organization.deps import Admin
from app.api.organization.reading import LIMIT, After, Before, Limit, seconds_of, values_of
from app.api.schemas.audit_logs import OWN_EVENTS, AuditLogOut
from app.api.schemas.base import ListOut
from app.store.audit_logs import AuditLogFilter, page_of_changes
from app.store.pages import Cursor

router = APIRouter(prefix="/audit_logs", tags=["Audit logs"])


@router.get("")
async def list_audit_logs(
    request: Request,
    caller: Admin,
    after: After = None,
    before: Before = None,
    limit: Limit = LIMIT,
    tenant_only: Annotated[bool, Query(description="There are no such events here.")] = False,
) -> ListOut[AuditLogOut]:
    """List changes, newest first. `event_types`, `actor_ids`, `actor_emails`, `project_ids`, `resource_ids` may be repeated;
    `effective_at[gt|gte|lt|lte]` is in seconds. Extensions: `event`, `before` and `after` of each change. The `type` of an event
    that OpenAI does not have is `organization.updated`; `event_types` takes either name."""
    if tenant_only:
        return ListOut[AuditLogOut].of([])
    cursor = Cursor(after, limit, descending=True, before=before)
    page = await caller.database.ask(page_of_changes, cursor, _filter(request))
    return ListOut[AuditLogOut].of_page(page, AuditLogOut.of)


def _filter(request: Request) -> AuditLogFilter:
    """Make the filter. The log has milliseconds: an event belongs to the whole second of its `effective_at`."""
    at = {name: seconds_of(request, f"effective_at[{name}]") for name in ("gt", "gte", "lt", "lte")}
    after = [value for value in (at["gte"], None if at["gt"] is None else at["gt"] + 1) if value is not None]
    until = [value for value in (at["lt"], None if at["lte"] is None else at["lte"] + 1) if value is not None]
    return AuditLogFilter(
        events=_events(values_of(request, "event_types")),
        actor_ids=values_of(request, "actor_ids"),
        actor_emails=values_of(request, "actor_emails"),
        project_ids=values_of(request, "project_ids"),
        target_ids=values_of(request, "resource_ids"),
        from_ms=max(after) * 1000 if after else None,
        until_ms=min(until) * 1000 if until else None,
    )


def _events(types: Sequence[str]) -> list[str]:
    """Return `types` with the names of our own events that have one of them as type."""
    return [*types, *(event for event, shown in OWN_EVENTS.items() if shown in types)]
