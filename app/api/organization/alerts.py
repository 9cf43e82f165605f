"""Alerts (an extension): any scope, interval and unit, told by mail, signed webhook or chat."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from app.api.organization import examples
from app.api.organization.alert_shapes import (
    AlertCreateBody,
    AlertModifyBody,
    alert_object,
    channel_of,
    check_currency,
    firing_object,
)
from app.api.organization.bodies import body
from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.api.organization.shapes import deleted
from app.control import alerts
from app.control.alerts import AlertChange, AlertFilter, WantedAlert
from app.control.limits import ScopeRef
from app.core.alerts import Alert, AlertUnit
from app.core.money import HUNDREDTH_MICROS
from app.errors import InvalidValue
from app.store.pages import Cursor
from app.wiring import notifier_from

router = APIRouter(prefix="/alerts", tags=["Alerts (extension)"])
ScopeFilter = Annotated[
    Literal["organization", "project", "user", "key"] | None, Query(description="Only those of such scopes.")
]


@router.post("", **described(examples.ALERT_CREATED, 400, 403, 404, body=AlertCreateBody, extension=True))
async def create_alert(
    caller: AdminWriter, given: Annotated[AlertCreateBody, Depends(body(AlertCreateBody))]
) -> dict[str, Any]:
    """Tell these channels when so much is used. Set off once for each interval and threshold, at once where it is reached
    already. The secret of a webhook is in this answer only."""
    settings = caller.gateway.settings
    if given.currency is not None:
        check_currency(given.currency, settings.currency)
    if (given.scope == "organization") != (given.scope_id is None):
        raise InvalidValue("Give scope_id for a project, user or key, and for nothing else.", param="scope_id")
    unit: AlertUnit = "micros" if given.unit == "spend" else given.unit
    factor = HUNDREDTH_MICROS if unit == "micros" else 1
    wanted = WantedAlert(
        ScopeRef(given.scope, given.scope_id or ""),
        unit,
        given.interval,
        given.threshold_amount * factor,
        tuple(channel_of(channel) for channel in given.notification_channels),
        given.model,
    )
    alert = await alerts.create_alert(caller.database, notifier_from(settings), wanted)
    return alert_object(alert, settings.currency, secrets=True)


@router.get("", **described(list_object([examples.ALERT]), 400, extension=True))
async def list_alerts(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    scope: ScopeFilter = None,
    scope_id: Annotated[str | None, Query(max_length=200, description="Only those of this one.")] = None,
) -> dict[str, Any]:
    """Every alert, those of OpenAI's form too, by creation."""
    page = await alerts.page_of_alerts(caller.database, Cursor(after, limit), AlertFilter(scope, scope_id))
    return listed(page, lambda alert: _shown(caller, alert))


@router.get("/{alert_id}", **described(examples.ALERT, 404, extension=True))
async def retrieve_alert(caller: Admin, alert_id: str) -> dict[str, Any]:
    """One of them."""
    return _shown(caller, await alerts.show_alert(caller.database, alert_id))


@router.get("/{alert_id}/firings", **described(list_object([examples.FIRING]), 404, extension=True))
async def list_firings(caller: Admin, alert_id: str) -> dict[str, Any]:
    """What set it off lately, newest first, 20 at most, and how each message went."""
    alert = await alerts.show_alert(caller.database, alert_id)
    return list_object([firing_object(firing, alert) for firing in await alerts.firings(caller.database, alert_id)])


@router.post(
    "/{alert_id}",
    **described(examples.ALERT_CREATED, 400, 403, 404, body=AlertModifyBody, extension=True),
)
async def modify_alert(
    caller: AdminWriter, alert_id: str, given: Annotated[AlertModifyBody, Depends(body(AlertModifyBody))]
) -> dict[str, Any]:
    """Change what is given. A new threshold may be reached in the same interval once more."""
    settings = caller.gateway.settings
    before = await alerts.show_alert(caller.database, alert_id)
    factor = HUNDREDTH_MICROS if before.unit == "micros" else 1
    threshold = None if given.threshold_amount is None else given.threshold_amount * factor
    channels = None
    if given.notification_channels is not None:
        channels = tuple(channel_of(channel) for channel in given.notification_channels)
    change = AlertChange(threshold, channels, given.interval)
    after = await alerts.change_alert(caller.database, notifier_from(settings), alert_id, change)
    return alert_object(after, settings.currency, secrets=channels is not None)


@router.delete("/{alert_id}", **described(examples.deleted("organization.alert"), 403, 404, extension=True))
async def delete_alert(caller: AdminWriter, alert_id: str) -> dict[str, Any]:
    """Delete it, and what it has not sent yet."""
    await alerts.delete_alert(caller.database, alert_id)
    return deleted("organization.alert", alert_id)


def _shown(caller: Administrator, alert: Alert) -> dict[str, Any]:
    return alert_object(alert, caller.gateway.settings.currency)
