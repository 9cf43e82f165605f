"""/organization/limits: every limit there can be, of any scope, model, unit and interval (an extension)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from app.api.organization.bodies import Body, body
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.api.organization.limit_bodies import UNIT_NAMES, LimitSet, step_of
from app.api.organization.pages import list_object
from app.api.organization.shapes import seconds
from app.control import limits
from app.control.limits import LimitState, ScopeRef
from app.core.limits import Scope
from app.errors import InvalidValue

router = APIRouter(prefix="/limits", tags=["Limits (extension)"])
CHANGES_MAX = 100
_EXAMPLE = {
    "object": "organization.limit",
    "id": "limit_3",
    "scope": "user",
    "scope_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m",
    "scope_name": "lin",
    "model": None,
    "unit": "spend",
    "interval": "month",
    "amount": 2000,
    "used_micros": 8_000_000,
    "held_micros": 0,
    "left_micros": 12_000_000,
    "resets_at": 1798732800,
}
_ScopeId = Annotated[str | None, Query(max_length=200, description="A project or user by id or name, a key by id.")]
_Model = Annotated[str | None, Query(max_length=128, description="Only those for this one; empty: those for any.")]


_SPEND = {"unit": "spend", "interval": "month", "amount": 20000}


class LimitsSet(Body, json_schema_extra={"example": {"scope": "user", "scope_id": "lin", "limits": [_SPEND]}}):
    """Of one scope, for one model or (null) for any."""

    scope: Scope = "organization"
    scope_id: Annotated[str, Field(max_length=200)] | None = None
    model: Annotated[str, Field(max_length=128)] | None = None
    limits: Annotated[list[LimitSet], Field(min_length=1, max_length=CHANGES_MAX)]


@router.get("", **described(list_object([_EXAMPLE]), 400, 404, extension=True))
async def list_limits(
    caller: Admin, scope: Scope | None = None, scope_id: _ScopeId = None, model: _Model = None
) -> dict[str, Any]:
    """All limits in force, or those of one scope, and what of them is used, held and left in their current intervals. Rates
    (per minute) are counted elsewhere: of them these are null."""
    where = None if scope is None and scope_id is None else _where(scope or "organization", scope_id)
    return _listed(await limits.show_limits(caller.database, caller.gateway.settings.zone, where, model))


@router.post("", **described(list_object([_EXAMPLE]), 400, 403, 404, body=LimitsSet, extension=True))
async def set_limits(caller: AdminWriter, wanted: Annotated[LimitsSet, Depends(body(LimitsSet))]) -> dict[str, Any]:
    """Set, change or remove limits of one scope, all or none. Returns those that hold then for that scope and model."""
    where, changes = _where(wanted.scope, wanted.scope_id), [each.change() for each in wanted.limits]
    zone = caller.gateway.settings.zone
    return _listed(await limits.set_limits(caller.database, zone, where, wanted.model, changes))


def _where(scope: Scope, scope_id: str | None) -> ScopeRef:
    if (scope == "organization") != (scope_id is None):
        raise InvalidValue("Give scope_id for a project, user or key, and for nothing else.", param="scope_id")
    return ScopeRef(scope, scope_id or "")


def _listed(states: list[LimitState]) -> dict[str, Any]:
    return list_object([_shown(state) for state in states])


def _shown(state: LimitState) -> dict[str, Any]:
    limit = state.limit
    unit = "_micros" if limit.unit == "micros" else ""
    return {
        "object": "organization.limit",
        "id": f"limit_{limit.id}",
        "scope": limit.scope,
        "scope_id": limit.scope_id or None,
        "scope_name": limit.owner or None,
        "model": limit.model or None,
        "unit": UNIT_NAMES[limit.unit],
        "interval": limit.interval,
        "amount": limit.amount // step_of(limit.unit),
        f"used{unit}": state.spent,
        f"held{unit}": state.held,
        f"left{unit}": state.left,
        "resets_at": seconds(state.resets_at_ms),
    }
