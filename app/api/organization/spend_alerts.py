"""Spend alerts of the organization and of its projects, in OpenAI's form."""

from fastapi import APIRouter

from app.api.organization.alerts import check_currency
from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.reading import LIMIT, After, Before, Body, Limit, Order
from app.api.schemas.alerts import AlertOut, SpendAlertOut, SpendAlertSet
from app.api.schemas.base import DeletedOut, ListOut
from app.control import alerts
from app.control.alerts import AlertChange, AlertFilter, NewAlert
from app.control.limits import ScopeRef
from app.control.projects import get_project
from app.core.alerts import Alert
from app.core.money import HUNDREDTH_MICROS
from app.store.pages import Cursor

router = APIRouter(tags=["Spend alerts"])
SpendAlertBody = Body[SpendAlertSet]
IN_PROJECT = "/projects/{project_id}/spend_alerts"
_OF_ORGANIZATION = AlertFilter("organization", "", plain=True)


@router.post("/spend_alerts")
async def create_spend_alert(caller: AdminWriter, body: SpendAlertBody) -> SpendAlertOut:
    """Send a mail to these recipients when the organization reaches the threshold in a month. It is sent once a month."""
    return await _create(caller, ScopeRef("organization"), body)


@router.get("/spend_alerts")
async def list_spend_alerts(
    caller: Admin, after: After = None, before: Before = None, limit: Limit = LIMIT, order: Order = "asc"
) -> ListOut[SpendAlertOut]:
    """List spend alerts of the organization. Alerts of another interval, unit or channel are under `/alerts`."""
    return await _list(caller, _OF_ORGANIZATION, Cursor(after, limit, order == "desc", before))


@router.get("/spend_alerts/{alert_id}")
async def retrieve_spend_alert(caller: Admin, alert_id: str) -> SpendAlertOut:
    """Retrieve a spend alert of the organization."""
    return _shown(caller, await alerts.show_alert(caller.database, alert_id, _OF_ORGANIZATION))


@router.post("/spend_alerts/{alert_id}")
async def modify_spend_alert(caller: AdminWriter, alert_id: str, body: SpendAlertBody) -> SpendAlertOut:
    """Change a spend alert. With a new threshold it can fire again in the same month."""
    return await _modify(caller, alert_id, body, _OF_ORGANIZATION)


@router.delete("/spend_alerts/{alert_id}")
async def delete_spend_alert(caller: AdminWriter, alert_id: str) -> DeletedOut:
    """Delete a spend alert and its unsent messages."""
    await alerts.delete_alert(caller.database, alert_id, _OF_ORGANIZATION)
    return DeletedOut.of("organization.spend_alert", alert_id)


@router.post(IN_PROJECT)
async def create_project_spend_alert(caller: AdminWriter, project_id: str, body: SpendAlertBody) -> SpendAlertOut:
    """Send a mail to these recipients when the project reaches the threshold in a month. It is sent once a month."""
    return await _create(caller, ScopeRef("project", project_id), body)


@router.get(IN_PROJECT)
async def list_project_spend_alerts(
    caller: Admin,
    project_id: str,
    after: After = None,
    before: Before = None,
    limit: Limit = LIMIT,
    order: Order = "asc",
) -> ListOut[SpendAlertOut]:
    """List spend alerts of the project."""
    project = await caller.database.ask(get_project, project_id)
    return await _list(caller, _of_project(project.id), Cursor(after, limit, order == "desc", before))


@router.get(IN_PROJECT + "/{alert_id}")
async def retrieve_project_spend_alert(caller: Admin, project_id: str, alert_id: str) -> SpendAlertOut:
    """Retrieve a spend alert of the project."""
    return _shown(caller, await alerts.show_alert(caller.database, alert_id, _of_project(project_id)))


@router.post(IN_PROJECT + "/{alert_id}")
async def modify_project_spend_alert(
    caller: AdminWriter, project_id: str, alert_id: str, body: SpendAlertBody
) -> SpendAlertOut:
    """Change a spend alert. With a new threshold it can fire again in the same month."""
    return await _modify(caller, alert_id, body, _of_project(project_id))


@router.delete(IN_PROJECT + "/{alert_id}")
async def delete_project_spend_alert(caller: AdminWriter, project_id: str, alert_id: str) -> DeletedOut:
    """Delete a spend alert and its unsent messages."""
    await alerts.delete_alert(caller.database, alert_id, _of_project(project_id))
    return DeletedOut.of("project.spend_alert", alert_id)


async def _create(caller: Administrator, where: ScopeRef, body: SpendAlertSet) -> SpendAlertOut:
    check_currency(body.currency, caller.gateway.currency)
    threshold, channels = body.threshold_amount * HUNDREDTH_MICROS, (body.notification_channel.channel(),)
    new = NewAlert(where, "micros", body.interval, threshold, channels)
    return _shown(caller, await alerts.create_alert(caller.database, caller.gateway.notifier, new))


async def _list(caller: Administrator, among: AlertFilter, cursor: Cursor) -> ListOut[SpendAlertOut]:
    page = await alerts.page_of_alerts(caller.database, cursor, among)
    return ListOut[SpendAlertOut].of_page(page, lambda alert: _shown(caller, alert))


async def _modify(caller: Administrator, alert_id: str, body: SpendAlertSet, among: AlertFilter) -> SpendAlertOut:
    check_currency(body.currency, caller.gateway.currency)
    channels = (body.notification_channel.channel(),)
    change = AlertChange(body.threshold_amount * HUNDREDTH_MICROS, channels, body.interval)
    return _shown(caller, await alerts.change_alert(caller.database, caller.gateway.notifier, alert_id, change, among))


def _of_project(project_id: str) -> AlertFilter:
    return AlertFilter("project", project_id, plain=True)


def _shown(caller: Administrator, alert: Alert) -> SpendAlertOut:
    return SpendAlertOut.of(AlertOut.of(alert), caller.gateway.currency)
