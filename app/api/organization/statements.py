"""/organization/statements: months, line by line beside the relay's bill, and closed for good (an extension)."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import Body
from app.api.schemas.base import ListOut
from app.api.schemas.statements import ClosedMonthOut, StatementClose, StatementOut
from app.control import statements
from app.control.statements import StatementMonth
from app.errors import InvalidValue, NotFound
from app.store.statements import list_statements

router = APIRouter(prefix="/statements", tags=["Statements (extension)"])
_PROJECT = Query(max_length=200, description="A project by id or name; without one, all projects together.")


@router.get("")
async def list_closed_months(caller: Admin) -> ListOut[ClosedMonthOut]:
    """List closed months, newest month first."""
    return ListOut[ClosedMonthOut].of(map(ClosedMonthOut.of, await caller.database.ask(list_statements)))


@router.post("")
async def close_month(caller: AdminWriter, body: Body[StatementClose]) -> StatementOut:
    """Close a month for good: its lines and the relay's bill stay as they are now, and what is booked or corrected afterwards is
    told apart as `later`. A 409 where it is closed already."""
    month, zone = StatementMonth.of(body.month), caller.gateway.zone
    return StatementOut.of(await statements.close_statement(caller.database, month, body.project, zone))


@router.get("/{month}")
async def retrieve_statement(
    caller: Admin,
    month: Annotated[str, Path(max_length=20, description="A local month, like 2026-11.")],
    project: Annotated[str | None, _PROJECT] = None,
) -> StatementOut:
    """Retrieve a month by day and model: frozen where it is closed, else a draft of what the book says now."""
    try:
        wanted = StatementMonth.of(month)
    except InvalidValue as exc:
        raise NotFound(exc.message, param="month") from None
    return StatementOut.of(await statements.read_statement(caller.database, wanted, project, caller.gateway.zone))
