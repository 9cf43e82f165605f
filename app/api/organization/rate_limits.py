"""What a project may ask of each model: requests and images per minute, requests per day."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Query as QueryField
from pydantic import Field

from app.api.organization.bodies import Body, body
from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT_MAX, After, list_object
from app.control import limits, models
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.core.intervals import Interval
from app.core.limits import Unit
from app.errors import InvalidValue, NotFound

router = APIRouter(prefix="/projects/{project_id}/rate_limits", tags=["Rate limits"])
UNLIMITED = limits.AMOUNT_MAX
"""What is shown where no limit is set; setting it removes the limit."""
PREFIX = "rl-"
_PLACES: dict[str, tuple[Unit, Interval]] = {
    "max_requests_per_1_minute": ("requests", "minute"),
    "max_images_per_1_minute": ("images", "minute"),
    "max_requests_per_1_day": ("requests", "day"),
}
_EXAMPLE = {
    "object": "project.rate_limit",
    "id": "rl-gpt-image-1",
    "model": "gpt-image-1",
    "max_requests_per_1_minute": 20,
    "max_tokens_per_1_minute": UNLIMITED,
    "max_images_per_1_minute": 10,
    "max_requests_per_1_day": UNLIMITED,
}
_Before = Annotated[str | None, QueryField(max_length=200, description="The id of the first object you have.")]
_Limit = Annotated[int, QueryField(ge=0, le=LIMIT_MAX, description="How many to return: 1 to 100; 0 is the default.")]
_Amount = Annotated[int | None, Field(ge=0, le=UNLIMITED)]


class RateLimit(Body, json_schema_extra={"example": {"max_requests_per_1_minute": 20, "max_images_per_1_minute": 10}}):
    """What is left out stays as it is; 1000000000 removes a limit."""

    max_requests_per_1_minute: _Amount = None
    max_images_per_1_minute: _Amount = None
    max_requests_per_1_day: _Amount = None
    max_tokens_per_1_minute: _Amount = Field(None, description="Taken and not used: images are not limited by tokens.")
    max_audio_megabytes_per_1_minute: _Amount = Field(None, description="Taken and not used: there is no audio here.")
    batch_1_day_max_input_tokens: _Amount = Field(None, description="Taken and not used: there are no batches here.")


@router.get("", **described({**list_object([_EXAMPLE])}, 400, 404))
async def list_rate_limits(
    project_id: str, caller: Admin, after: After = None, before: _Before = None, limit: _Limit = LIMIT_MAX
) -> dict[str, Any]:
    """The limits of a project for each model of the catalog, in its order. 1000000000 stands for no limit: always for
    tokens, which images are not limited by. Limits for all models together are not in this list."""
    rows = await _rows(caller, project_id)
    return _page(rows, after, before, limit or LIMIT_MAX)


@router.post("/{rate_limit_id:path}", **described(_EXAMPLE, 400, 403, 404, body=RateLimit))
async def modify_rate_limit(
    project_id: str, rate_limit_id: str, caller: AdminWriter, wanted: Annotated[RateLimit, Depends(body(RateLimit))]
) -> dict[str, Any]:
    """Change the limits of a project for one model, named by its id in the list or by the model's own. They hold from the next
    request on."""
    row = await _rows(caller, project_id)
    model = row[_place(row, rate_limit_id)]["model"]
    changes = _changes(wanted)
    if not changes:
        return row[_place(row, rate_limit_id)]
    where, zone = ScopeRef("project", project_id), caller.gateway.settings.zone
    return _shown(model, await limits.set_limits(caller.database, zone, where, model, changes))


async def _rows(caller: Administrator, project_id: str) -> list[dict[str, Any]]:
    where = ScopeRef("project", project_id)
    states = await limits.show_limits(caller.database, caller.gateway.settings.zone, where)
    catalog = await models.list_models(caller.database)
    return [_shown(entry.model, [state for state in states if state.limit.model == entry.model]) for entry in catalog]


def _shown(model: str, states: Iterable[LimitState]) -> dict[str, Any]:
    amounts = {(state.limit.unit, state.limit.interval): state.limit.amount for state in states}
    row: dict[str, Any] = {"object": "project.rate_limit", "id": f"{PREFIX}{model}", "model": model}
    row |= {name: amounts.get(place, UNLIMITED) for name, place in _PLACES.items()}
    return row | {"max_tokens_per_1_minute": UNLIMITED}


def _changes(wanted: RateLimit) -> list[LimitChange]:
    given = {name: amount for name in _PLACES if (amount := getattr(wanted, name)) is not None}
    return [LimitChange(*_PLACES[name], None if amount == UNLIMITED else amount) for name, amount in given.items()]


def _place(rows: Sequence[dict[str, Any]], rate_limit_id: str) -> int:
    """By its own id first, then by the model's. Raises NotFound."""
    for name in ("id", "model"):
        for place, row in enumerate(rows):
            if row[name] == rate_limit_id:
                return place
    raise NotFound(
        f"There is no rate limit '{rate_limit_id[:100]}'; GET .../rate_limits lists them.", param="rate_limit_id"
    )


def _page(rows: Sequence[dict[str, Any]], after: str | None, before: str | None, limit: int) -> dict[str, Any]:
    """`after` counts where both are given."""
    try:
        if after is not None:
            first = _place(rows, after) + 1
            return list_object(rows[first : first + limit], first + limit < len(rows))
        end = len(rows) if before is None else _place(rows, before)
    except NotFound as exc:
        raise InvalidValue(exc.message, param="after" if after is not None else "before") from None
    if before is None:
        return list_object(rows[:limit], limit < len(rows))
    return list_object(rows[max(0, end - limit) : end], end > limit)
