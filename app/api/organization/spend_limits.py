"""Spend limits and image quotas of the organization, of projects, users and keys. OpenAI has the monthly spend limits of the
first two; the other places, the other intervals and the quotas are ours, in the same form."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from app.api.organization.bodies import Body, body
from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.docs import EXTENSION, described
from app.api.organization.shapes import seconds
from app.control import limits, project_keys
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.core.limits import Unit
from app.core.money import AMOUNT_MICROS_MAX, HUNDREDTH_MICROS
from app.errors import InvalidValue, NotFound

router = APIRouter()
SpendInterval = Literal["day", "week", "month", "lifetime"]


class SpendLimit(
    Body, json_schema_extra={"example": {"currency": "CNY", "interval": "month", "threshold_amount": 20000}}
):
    """An amount of money."""

    currency: str = Field(max_length=10, description="That of the book: nothing is converted.")
    interval: SpendInterval = Field(description="`month`; day, week and lifetime are an extension.")
    threshold_amount: int = Field(ge=0, le=AMOUNT_MICROS_MAX // HUNDREDTH_MICROS, description="In hundredths.")


class ImageQuota(Body, json_schema_extra={"example": {"interval": "day", "threshold_amount": 200}}):
    """A number of images."""

    interval: SpendInterval
    threshold_amount: int = Field(ge=0, le=limits.AMOUNT_MAX, description="Images.")


@dataclass(frozen=True, slots=True)
class Form:
    """How a limit of a unit is named, asked for and shown."""

    unit: Unit
    name: str
    body: type[SpendLimit] | type[ImageQuota]
    step: int
    """What one of `threshold_amount` is, in what the limit counts."""


FORMS = (Form("micros", "spend_limit", SpendLimit, HUNDREDTH_MICROS), Form("images", "image_quota", ImageQuota, 1))


async def _of_organization() -> ScopeRef:
    return ScopeRef("organization")


async def _of_project(project_id: str) -> ScopeRef:
    return ScopeRef("project", project_id)


async def _of_user(user_id: str) -> ScopeRef:
    return ScopeRef("user", user_id)


async def _of_key(project_id: str, api_key_id: str, caller: Admin) -> ScopeRef:
    """Raises NotFound, also for a key of another project."""
    return ScopeRef("key", (await project_keys.show_project_key(caller.database, project_id, api_key_id)).id)


@dataclass(frozen=True, slots=True)
class Place:
    """Where limits stand: a path, and what its objects are called."""

    path: str
    object: str
    find: Callable[..., Awaitable[ScopeRef]]
    openai: bool = False


PLACES = (
    Place("", "organization", _of_organization, openai=True),
    Place("/projects/{project_id}", "project", _of_project, openai=True),
    Place("/users/{user_id}", "organization.user", _of_user),
    Place("/projects/{project_id}/api_keys/{api_key_id}", "organization.project.api_key", _of_key),
)


def _add(place: Place, form: Form) -> None:
    """The three routes of one kind of limit in one place."""
    path, kind = f"{place.path}/{form.name}", f"{place.object}.{form.name}"
    words, ours = form.name.replace("_", " "), not (place.openai and form.unit == "micros")
    mark = EXTENSION if ours else "Intervals other than `month` are an extension. "
    same: dict[str, Any] = {"tags": ["Spend limits and image quotas"]}
    example, read_body = _example(kind, form), body(form.body)

    async def retrieve(
        caller: Admin, interval: SpendInterval = "month", where: ScopeRef = Depends(place.find)
    ) -> dict[str, Any]:
        states = await limits.show_limits(caller.database, caller.gateway.settings.zone, where, "")
        return _shown(kind, form, _required(states, form, interval), caller.gateway.settings.currency)

    async def modify(
        caller: AdminWriter,
        where: ScopeRef = Depends(place.find),
        interval: SpendInterval | None = None,
        wanted: Any = Depends(read_body),
    ) -> dict[str, Any]:
        if interval not in (None, wanted.interval):
            raise InvalidValue(f"The body says {wanted.interval}, the address {interval}: which?", param="interval")
        _check_currency(caller, wanted)
        change = LimitChange(form.unit, wanted.interval, wanted.threshold_amount * form.step)
        states = await limits.set_limits(caller.database, caller.gateway.settings.zone, where, None, [change])
        return _shown(kind, form, _required(states, form, wanted.interval), caller.gateway.settings.currency)

    async def delete(
        caller: AdminWriter, interval: SpendInterval = "month", where: ScopeRef = Depends(place.find)
    ) -> dict[str, Any]:
        zone = caller.gateway.settings.zone
        there = _found(await limits.show_limits(caller.database, zone, where, ""), form, interval) is not None
        if there:
            await limits.set_limits(caller.database, zone, where, None, [LimitChange(form.unit, interval, None)])
        return {"object": f"{kind}.deleted", "deleted": there}

    described_as: dict[str, tuple[Callable[..., Any], str]] = {
        "GET": (retrieve, f"{mark}The {words}, and how much of it is used. 404 where none is set for that interval."),
        "POST": (modify, f"{mark}Set or change the {words}. It holds from the next request on."),
        "DELETE": (delete, f"{mark}Remove the {words}. `deleted` is false where there was none."),
    }
    for method, (route, text) in described_as.items():
        docs = _docs(method, example, kind, form, extension=ours)
        router.add_api_route(
            path, route, methods=[method], description=text, summary=_summary(method, kind), **docs, **same
        )


def _docs(method: str, example: dict[str, Any], kind: str, form: Form, *, extension: bool) -> dict[str, Any]:
    match method:
        case "GET":
            return described(example, 400, 404, extension=extension)
        case "POST":
            return described(example, 400, 403, 404, body=form.body, extension=extension)
        case _:
            return described({"object": f"{kind}.deleted", "deleted": True}, 400, 403, 404, extension=extension)


def _summary(method: str, kind: str) -> str:
    verb = {"GET": "Retrieve", "POST": "Modify", "DELETE": "Delete"}[method]
    return f"{verb} {kind.removeprefix('organization.').replace('.', ' ').replace('_', ' ')}"


def _found(states: list[LimitState], form: Form, interval: str) -> LimitState | None:
    wanted = (form.unit, interval)
    return next((state for state in states if (state.limit.unit, state.limit.interval) == wanted), None)


def _required(states: list[LimitState], form: Form, interval: str) -> LimitState:
    state = _found(states, form, interval)
    if state is None:
        raise NotFound(
            f"There is no {form.name.replace('_', ' ')} here with the interval {interval}.", param="interval"
        )
    return state


def _check_currency(caller: Administrator, wanted: SpendLimit | ImageQuota) -> None:
    own = caller.gateway.settings.currency
    if isinstance(wanted, SpendLimit) and wanted.currency.upper() != own.upper():
        message = f"This installation books in {own}, and converts nothing: give the amount in {own}."
        raise InvalidValue(message, param="currency")


def _shown(kind: str, form: Form, state: LimitState, currency: str) -> dict[str, Any]:
    """`enforcing`: nothing is left, so requests are refused now."""
    assert state.spent is not None
    assert state.held is not None
    assert state.left is not None
    unit = "_micros" if form.unit == "micros" else ""
    return {
        "object": kind,
        **({"currency": currency} if form.unit == "micros" else {}),
        "interval": state.limit.interval,
        "threshold_amount": state.limit.amount // form.step,
        "enforcement": {"status": "enforcing" if state.left <= 0 else "inactive"},
        f"used{unit}": state.spent,
        f"held{unit}": state.held,
        f"left{unit}": state.left,
        "resets_at": seconds(state.resets_at_ms),
    }


def _example(kind: str, form: Form) -> dict[str, Any]:
    unit, one = ("_micros", 1_000_000) if form.unit == "micros" else ("", 1)
    return {
        "object": kind,
        **({"currency": "CNY"} if form.unit == "micros" else {}),
        "interval": "month",
        "threshold_amount": 200 * one // form.step,
        "enforcement": {"status": "inactive"},
        f"used{unit}": 80 * one,
        f"held{unit}": 0,
        f"left{unit}": 120 * one,
        "resets_at": 1798732800,
    }


for _place in PLACES:
    for _form in FORMS:
        _add(_place, _form)
