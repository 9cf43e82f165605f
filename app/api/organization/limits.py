"""/organization/limits: limits of any scope, model, unit and interval (an extension)."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import Body
from app.api.schemas.base import ListOut
from app.api.schemas.limits import LimitOut, LimitsSet
from app.control import limits
from app.control.limits import ScopeRef
from app.core.limits import LimitScope
from app.errors import InvalidValue

router = APIRouter(prefix="/limits", tags=["Limits (extension)"])
_ScopeId = Annotated[str | None, Query(max_length=200, description="A project or user by id or name, a key by id.")]
_Model = Annotated[str | None, Query(max_length=128, description="Only those for this one; empty: those for any.")]


@router.get("")
async def list_limits(
    caller: Admin, scope: LimitScope | None = None, scope_id: _ScopeId = None, model: _Model = None
) -> ListOut[LimitOut]:
    """List limits, of all scopes or of one, with the amounts spent, held and left in the current interval. These are null for
    rates (per minute), which are counted elsewhere, and for defaults.

    A limit of the scope `everyone` is a default, for everyone of the organization or of the project in `scope_id`. Each user
    or service account without a limit of their own has one from it, with their own counter: of the scope `user`, with
    `default_of`. `scope=everyone` lists the defaults and then those limits, and the own ones in their place.
    """
    where = None if scope is None and scope_id is None else scope_ref(scope or "organization", scope_id)
    states = await limits.show_limits(caller.database, caller.gateway.zone, where, model)
    return ListOut[LimitOut].of(map(LimitOut.of, states))


@router.post("")
async def set_limits(caller: AdminWriter, body: Body[LimitsSet]) -> ListOut[LimitOut]:
    """Set, change or remove limits of one scope, all or none. Returns the limits of that scope and model.

    A user's own limit takes the place of one that comes from a default, with what is spent and held on it; removing it gives
    the place back.
    """
    where, changes = scope_ref(body.scope, body.scope_id), [each.change() for each in body.limits]
    states = await limits.set_limits(caller.database, caller.gateway.zone, where, body.model, changes)
    return ListOut[LimitOut].of(map(LimitOut.of, states))


def scope_ref(scope: LimitScope, scope_id: str | None) -> ScopeRef:
    """Make the scope that a request names. Raises InvalidValue."""
    if scope != "everyone" and (scope == "organization") != (scope_id is None):
        raise InvalidValue("Give scope_id for a project, user or key, and for nothing else.", param="scope_id")
    return ScopeRef(scope, scope_id or "")
