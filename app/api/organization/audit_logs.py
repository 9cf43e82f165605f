"""/organization/audit_logs: every change, who made it, and what was before and after."""

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
    """Changes, newest first. `event_types`, `actor_ids`, `actor_emails`, `project_ids`, `resource_ids` may be given many times;
    `effective_at[gt|gte|lt|lte]` in seconds. Extensions: `event`, `before` and `after` of each change; an event of what only
    this gateway has is an `organization.updated`, and may be asked for by either name."""
    if tenant_only:
        return ListOut[AuditLogOut].of([])
    cursor = Cursor(after, limit, descending=True, before=before)
    async with caller.database.read() as connection:
        page = await page_of_changes(connection, cursor, _filter(request))
    return ListOut[AuditLogOut].of_page(page, AuditLogOut.of)


def _filter(request: Request) -> AuditLogFilter:
    """The log has milliseconds and the filter seconds: an event belongs to the second it is shown with."""
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
    """Our own names of the events that are shown as one of `types`."""
    return [*types, *(event for event, shown in OWN_EVENTS.items() if shown in types)]
