"""/organization/limit_increases: what members ask for on top of their limits, and the decisions of owners (an extension)."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.schemas.base import ListOut
from app.api.schemas.limit_increases import IncreaseApproval, IncreaseRefusal, LimitIncreaseOut
from app.control import limit_increases
from app.store.limit_increases import IncreaseStatus
from app.store.pages import Cursor

router = APIRouter(prefix="/limit_increases", tags=["Limits (extension)"])
_Status = Annotated[IncreaseStatus | None, Query(description="Only those of this status.")]


@router.get("")
async def list_limit_increases(
    caller: Admin, status: _Status = None, after: After = None, limit: Limit = LIMIT
) -> ListOut[LimitIncreaseOut]:
    """List requests of members for more of a limit, newest first. Members make them in the console."""
    cursor = Cursor(after, limit, descending=True)
    page = await limit_increases.page_of_increases(caller.database, caller.gateway.zone, cursor, status)
    return ListOut[LimitIncreaseOut].of_page(page, LimitIncreaseOut.of)


@router.post("/{increase_id}/approve")
async def approve_limit_increase(
    caller: AdminWriter, increase_id: str, body: Body[IncreaseApproval]
) -> LimitIncreaseOut:
    """Raise the limit, until its current interval ends or for good. A request is decided once: another decision is a 409."""
    database, zone = caller.database, caller.gateway.zone
    await limit_increases.approve_increase(database, zone, increase_id, body.duration, body.amount, body.answer)
    return LimitIncreaseOut.of(await limit_increases.show_increase(database, zone, increase_id))


@router.post("/{increase_id}/decline")
async def decline_limit_increase(
    caller: AdminWriter, increase_id: str, body: Body[IncreaseRefusal]
) -> LimitIncreaseOut:
    """Decline the request; the limit stays. Whoever asked sees the answer in the console."""
    await limit_increases.decline_increase(caller.database, increase_id, body.answer)
    return LimitIncreaseOut.of(await limit_increases.show_increase(caller.database, caller.gateway.zone, increase_id))
