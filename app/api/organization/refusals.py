"""/organization/refusals: the log of refusals, which are kept for some time (an extension)."""

from fastapi import APIRouter

from app.api.organization.deps import Admin
from app.api.organization.reading import LIMIT, After, Limit
from app.api.organization.request_filters import Filter
from app.api.schemas.base import ListOut
from app.api.schemas.requests import RefusalOut
from app.control import requests
from app.store.pages import Cursor

router = APIRouter(prefix="/refusals", tags=["Requests (extension)"])


@router.get("")
async def list_refusals(
    caller: Admin, wanted: Filter, after: After = None, limit: Limit = LIMIT
) -> ListOut[RefusalOut]:
    """List requests that were refused before they were admitted, newest first; `since` is inclusive, `until` exclusive.

    A refusal is listed about a second after it. Equal ones of one key beyond ten a minute share a row with their `count`. Calls
    without a valid key are not recorded.
    """
    page = await requests.page_of_refusals(caller.database, Cursor(after, limit, descending=True), wanted)
    return ListOut[RefusalOut].of_page(page, RefusalOut.of)
