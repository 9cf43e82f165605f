"""Spend limits and image quotas of the organization, projects, users and keys. OpenAI has monthly spend limits of the first two;
the rest are extensions in the same form."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import JsonBody
from app.api.schemas.base import EXTENSION, RemovedOut
from app.api.schemas.limits import (
    ImageQuotaOut,
    ImageQuotaSet,
    LimitOut,
    SpendInterval,
    SpendLimitOut,
    SpendLimitSet,
)
from app.control import limits, project_keys
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.core.limits import Unit
from app.errors import InvalidValue, NotFound

router = APIRouter(tags=["Spend limits and image quotas"])


@dataclass(frozen=True, slots=True)
class LimitForm:
    """Name, body and answer of limits in one unit."""

    unit: Unit
    name: str
    body: type[SpendLimitSet] | type[ImageQuotaSet]
    answer: type[SpendLimitOut] | type[ImageQuotaOut]

    def shown(self, kind: str, state: LimitState, currency: str) -> SpendLimitOut | ImageQuotaOut:
        """Make the answer; `kind` is its `object`."""
        limit = LimitOut.of(state)
        return SpendLimitOut.of(kind, limit, currency) if self.unit == "micros" else ImageQuotaOut.of(kind, limit)


FORMS = (
    LimitForm("micros", "spend_limit", SpendLimitSet, SpendLimitOut),
    LimitForm("images", "image_quota", ImageQuotaSet, ImageQuotaOut),
)


async def _of_organization() -> ScopeRef:
    return ScopeRef("organization")


async def _of_project(project_id: str) -> ScopeRef:
    return ScopeRef("project", project_id)


async def _of_user(user_id: str) -> ScopeRef:
    return ScopeRef("user", user_id)


async def _of_key(project_id: str, api_key_id: str, caller: Admin) -> ScopeRef:
    """Return the scope of a key. Raises NotFound, also for a key of another project."""
    return ScopeRef("key", (await caller.database.ask(project_keys.get_project_key, project_id, api_key_id)).id)


@dataclass(frozen=True, slots=True)
class LimitPath:
    """Path with limits, and the prefix of the `object` of its answers."""

    path: str
    object: str
    find: Callable[..., Awaitable[ScopeRef]]
    openai: bool = False


PATHS = (
    LimitPath("", "organization", _of_organization, openai=True),
    LimitPath("/projects/{project_id}", "project", _of_project, openai=True),
    LimitPath("/users/{user_id}", "organization.user", _of_user),
    LimitPath("/projects/{project_id}/api_keys/{api_key_id}", "organization.project.api_key", _of_key),
)


def _add(at: LimitPath, form: LimitForm) -> None:
    """Add the three routes of one kind of limit at one path."""
    kind, read_body = f"{at.object}.{form.name}", JsonBody(form.body)

    async def retrieve(
        caller: Admin, interval: SpendInterval = "month", where: ScopeRef = Depends(at.find)
    ) -> SpendLimitOut | ImageQuotaOut:
        states = await limits.show_limits(caller.database, caller.gateway.zone, where, "")
        return form.shown(kind, _required(states, form, interval), caller.gateway.currency)

    async def modify(
        caller: AdminWriter,
        where: ScopeRef = Depends(at.find),
        interval: SpendInterval | None = None,
        body: Any = Depends(read_body),
    ) -> SpendLimitOut | ImageQuotaOut:
        if interval not in (None, body.interval):
            raise InvalidValue(f"The body says {body.interval}, the address {interval}: which?", param="interval")
        currency, zone = caller.gateway.currency, caller.gateway.zone
        if isinstance(body, SpendLimitSet) and body.currency.upper() != currency.upper():
            message = f"This installation books in {currency}, and converts nothing: give the amount in {currency}."
            raise InvalidValue(message, param="currency")
        states = await limits.set_limits(caller.database, zone, where, None, [body.change()])
        return form.shown(kind, _required(states, form, body.interval), currency)

    async def delete(
        caller: AdminWriter, interval: SpendInterval = "month", where: ScopeRef = Depends(at.find)
    ) -> RemovedOut:
        zone = caller.gateway.zone
        found = _found(await limits.show_limits(caller.database, zone, where, ""), form, interval)
        there = found is not None and found.limit.default_of is None
        if there:
            await limits.set_limits(caller.database, zone, where, None, [LimitChange(form.unit, interval, None)])
        return RemovedOut(object=f"{kind}.deleted", deleted=there)

    _document(at, form, kind, {"GET": retrieve, "POST": modify, "DELETE": delete})


def _document(at: LimitPath, form: LimitForm, kind: str, routes: dict[str, Callable[..., Any]]) -> None:
    words, openai = form.name.replace("_", " "), at.openai and form.unit == "micros"
    about = {
        "GET": ("Retrieve", f"The {words}, and how much of it is used. 404 where none is set for that interval."),
        "POST": ("Modify", f"Set or change the {words}. It applies from the next request on."),
        "DELETE": ("Delete", f"Remove the {words}. `deleted` is false where there was none."),
    }
    for method, route in routes.items():
        verb, text = about[method]
        router.add_api_route(
            f"{at.path}/{form.name}",
            route,
            methods=[method],
            response_model=RemovedOut if method == "DELETE" else form.answer,
            summary=f"{verb} {kind.removeprefix('organization.').replace('.', ' ').replace('_', ' ')}",
            description=f"{text} Intervals other than `month` are an extension." if openai else text,
            openapi_extra=None if openai else EXTENSION,
        )


def _found(states: list[LimitState], form: LimitForm, interval: str) -> LimitState | None:
    wanted = (form.unit, interval)
    return next((state for state in states if (state.limit.unit, state.limit.interval) == wanted), None)


def _required(states: list[LimitState], form: LimitForm, interval: str) -> LimitState:
    state = _found(states, form, interval)
    if state is None:
        raise NotFound(
            f"There is no {form.name.replace('_', ' ')} here with the interval {interval}.", param="interval"
        )
    return state


for _path in PATHS:
    for _form in FORMS:
        _add(_path, _form)
