"""Spend alerts of the organization and of its projects, as OpenAI's."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from app.api.organization import examples
from app.api.organization.alert_shapes import SpendAlertBody, channel_of, check_currency, spend_alert
from app.api.organization.bodies import body
from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.api.organization.shapes import deleted
from app.control import alerts, projects
from app.control.alerts import AlertChange, AlertFilter, WantedAlert
from app.control.limits import ScopeRef
from app.core.alerts import Alert
from app.core.limits import Scope
from app.core.money import HUNDREDTH_MICROS
from app.store.pages import Cursor
from app.wiring import notifier_from

router = APIRouter(tags=["Spend alerts"])
Given = Annotated[SpendAlertBody, Depends(body(SpendAlertBody))]
Before = Annotated[str | None, Query(max_length=200, description="The id of the first object you have.")]
Order = Annotated[Literal["asc", "desc"], Query(description="By creation.")]


@router.post("/spend_alerts", **described(examples.SPEND_ALERT, 400, 403, body=SpendAlertBody))
async def create_spend_alert(caller: AdminWriter, given: Given) -> dict[str, Any]:
    """Tell these recipients when the organization has spent so much in a month. Sent once a month."""
    return await _create(caller, ScopeRef("organization"), given)


@router.get("/spend_alerts", **described(list_object([examples.SPEND_ALERT]), 400))
async def list_spend_alerts(
    caller: Admin, after: After = None, before: Before = None, limit: Limit = LIMIT, order: Order = "asc"
) -> dict[str, Any]:
    """The organization's spend alerts. Those of another interval, unit or channel are under `/alerts`."""
    return await _list(caller, "organization", "", Cursor(after, limit, order == "desc", before))


@router.get("/spend_alerts/{alert_id}", **described(examples.SPEND_ALERT, 404))
async def retrieve_spend_alert(caller: Admin, alert_id: str) -> dict[str, Any]:
    """One of them."""
    return _shown(caller, await alerts.show_alert(caller.database, alert_id, _among("organization", "")))


@router.post("/spend_alerts/{alert_id}", **described(examples.SPEND_ALERT, 400, 403, 404, body=SpendAlertBody))
async def modify_spend_alert(caller: AdminWriter, alert_id: str, given: Given) -> dict[str, Any]:
    """Change it. A new threshold may be reached in the same month once more."""
    return await _modify(caller, alert_id, given, _among("organization", ""))


@router.delete("/spend_alerts/{alert_id}", **described(examples.deleted("organization.spend_alert"), 403, 404))
async def delete_spend_alert(caller: AdminWriter, alert_id: str) -> dict[str, Any]:
    """Delete it, and what it has not sent yet."""
    await alerts.delete_alert(caller.database, alert_id, _among("organization", ""))
    return deleted("organization.spend_alert", alert_id)


@router.post(
    "/projects/{project_id}/spend_alerts",
    **described(examples.PROJECT_SPEND_ALERT, 400, 403, 404, body=SpendAlertBody),
)
async def create_project_spend_alert(caller: AdminWriter, project_id: str, given: Given) -> dict[str, Any]:
    """Tell these recipients when the project has spent so much in a month. Sent once a month."""
    return await _create(caller, ScopeRef("project", project_id), given)


@router.get("/projects/{project_id}/spend_alerts", **described(list_object([examples.PROJECT_SPEND_ALERT]), 400, 404))
async def list_project_spend_alerts(
    caller: Admin,
    project_id: str,
    after: After = None,
    before: Before = None,
    limit: Limit = LIMIT,
    order: Order = "asc",
) -> dict[str, Any]:
    """The project's spend alerts."""
    project = await projects.show_project(caller.database, project_id)
    return await _list(caller, "project", project.id, Cursor(after, limit, order == "desc", before))


@router.get("/projects/{project_id}/spend_alerts/{alert_id}", **described(examples.PROJECT_SPEND_ALERT, 404))
async def retrieve_project_spend_alert(caller: Admin, project_id: str, alert_id: str) -> dict[str, Any]:
    """One of them."""
    return _shown(caller, await alerts.show_alert(caller.database, alert_id, _among("project", project_id)))


@router.post(
    "/projects/{project_id}/spend_alerts/{alert_id}",
    **described(examples.PROJECT_SPEND_ALERT, 400, 403, 404, body=SpendAlertBody),
)
async def modify_project_spend_alert(
    caller: AdminWriter, project_id: str, alert_id: str, given: Given
) -> dict[str, Any]:
    """Change it. A new threshold may be reached in the same month once more."""
    return await _modify(caller, alert_id, given, _among("project", project_id))


@router.delete(
    "/projects/{project_id}/spend_alerts/{alert_id}",
    **described(examples.deleted("project.spend_alert"), 403, 404),
)
async def delete_project_spend_alert(caller: AdminWriter, project_id: str, alert_id: str) -> dict[str, Any]:
    """Delete it, and what it has not sent yet."""
    await alerts.delete_alert(caller.database, alert_id, _among("project", project_id))
    return deleted("project.spend_alert", alert_id)


async def _create(caller: Administrator, where: ScopeRef, given: SpendAlertBody) -> dict[str, Any]:
    settings = caller.gateway.settings
    check_currency(given.currency, settings.currency)
    channels = (channel_of(given.notification_channel),)
    wanted = WantedAlert(where, "micros", given.interval, given.threshold_amount * HUNDREDTH_MICROS, channels)
    return _shown(caller, await alerts.create_alert(caller.database, notifier_from(settings), wanted))


async def _list(caller: Administrator, scope: Scope, scope_id: str, cursor: Cursor) -> dict[str, Any]:
    page = await alerts.page_of_alerts(caller.database, cursor, _among(scope, scope_id))
    return listed(page, lambda alert: _shown(caller, alert))


async def _modify(caller: Administrator, alert_id: str, given: SpendAlertBody, among: AlertFilter) -> dict[str, Any]:
    settings = caller.gateway.settings
    check_currency(given.currency, settings.currency)
    channels = (channel_of(given.notification_channel),)
    change = AlertChange(given.threshold_amount * HUNDREDTH_MICROS, channels, given.interval)
    return _shown(caller, await alerts.change_alert(caller.database, notifier_from(settings), alert_id, change, among))


def _among(scope: Scope, scope_id: str) -> AlertFilter:
    return AlertFilter(scope, scope_id, plain=True)


def _shown(caller: Administrator, alert: Alert) -> dict[str, Any]:
    return {**spend_alert(alert), "currency": caller.gateway.settings.currency}
