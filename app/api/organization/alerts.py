"""/organization/alerts: alerts of any scope, interval, unit and channel (an extension)."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.limits import scope_ref
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.schemas.alert_messages import AlertTestOut, FiringOut
from app.api.schemas.alerts import AlertCreate, AlertModify, AlertOut
from app.api.schemas.base import DeletedOut, ListOut
from app.control import alerts
from app.control.alert_tests import send_test
from app.control.alerts import AlertChange, AlertFilter, NewAlert
from app.core.alerts import AlertUnit
from app.core.limits import Scope
from app.core.money import HUNDREDTH_MICROS
from app.errors import InvalidValue, MissingParameter
from app.store.pages import Cursor

router = APIRouter(prefix="/alerts", tags=["Alerts (extension)"])
ScopeFilter = Annotated[Scope | None, Query(description="Only those of such scopes.")]


@router.post("")
async def create_alert(caller: AdminWriter, body: Body[AlertCreate]) -> AlertOut:
    """Send a message to these channels when the threshold is reached: once for each interval and threshold, at once where it is
    reached already. With the unit `relays`: when a relay is paused, its balance lasts for fewer days than the threshold, or that is
    over, once each time. Only this answer has the secret of a webhook."""
    gateway = caller.gateway
    if body.currency is not None:
        check_currency(body.currency, gateway.currency)
    unit: AlertUnit = "micros" if body.unit == "spend" else body.unit
    threshold = _threshold(unit, body)
    if unit == "relays" and threshold is None and body.percent is None:
        threshold = 0
    if threshold is None and body.percent is None:
        raise MissingParameter("threshold: Field required.", param="threshold")
    channels = tuple(channel.channel() for channel in body.notification_channels)
    scope = scope_ref(body.scope, body.scope_id)
    new = NewAlert(scope, unit, body.interval, threshold, channels, body.model, body.percent)
    return AlertOut.of(await alerts.create_alert(caller.database, gateway.notifier, new), secrets=True)


@router.get("")
async def list_alerts(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    scope: ScopeFilter = None,
    scope_id: Annotated[str | None, Query(max_length=200, description="Only those of this one.")] = None,
) -> ListOut[AlertOut]:
    """List all alerts by creation, including those in OpenAI's form."""
    page = await alerts.page_of_alerts(caller.database, Cursor(after, limit), AlertFilter(scope, scope_id))
    return ListOut[AlertOut].of_page(page, AlertOut.of)


@router.get("/{alert_id}")
async def retrieve_alert(caller: Admin, alert_id: str) -> AlertOut:
    """Retrieve an alert."""
    return AlertOut.of(await alerts.show_alert(caller.database, alert_id))


@router.get("/{alert_id}/firings")
async def list_firings(caller: Admin, alert_id: str) -> ListOut[FiringOut]:
    """List the newest 20 firings of an alert with the state of each message, newest first."""
    return ListOut[FiringOut].of(map(FiringOut.of, await alerts.firings(caller.database, alert_id)))


@router.post("/{alert_id}/test")
async def test_alert(caller: AdminWriter, alert_id: str) -> AlertTestOut:
    """Send a message that is marked as a test to every channel of the alert now, and say of each whether it was delivered. It is
    no firing, and a failure is not tried again."""
    gateway = caller.gateway
    tested = await send_test(caller.database, gateway.notifier, alert_id, currency=gateway.currency, zone=gateway.zone)
    return AlertTestOut.of(tested)


@router.post("/{alert_id}")
async def modify_alert(caller: AdminWriter, alert_id: str, body: Body[AlertModify]) -> AlertOut:
    """Change the given fields. With a new threshold the alert can fire again in the same interval."""
    before = await alerts.show_alert(caller.database, alert_id)
    threshold = _threshold(before.unit, body)
    channels = None
    if body.notification_channels is not None:
        channels = tuple(channel.channel() for channel in body.notification_channels)
    change = AlertChange(threshold, channels, body.interval, body.percent)
    after = await alerts.change_alert(caller.database, caller.gateway.notifier, alert_id, change)
    return AlertOut.of(after, secrets=channels is not None)


@router.delete("/{alert_id}")
async def delete_alert(caller: AdminWriter, alert_id: str) -> DeletedOut:
    """Delete an alert and its unsent messages."""
    await alerts.delete_alert(caller.database, alert_id)
    return DeletedOut.of("alert", alert_id)


def check_currency(given: str, currency: str) -> None:
    """Check that a currency is the book's: amounts are not converted. Raises InvalidValue."""
    if given != currency:
        message = f"The book of this installation is in {currency}; amounts are never converted, so send that."
        raise InvalidValue(message, param="currency")


def _threshold(unit: AlertUnit, body: AlertCreate | AlertModify) -> int | None:
    """Return the threshold in the unit; `threshold_amount` is its older form in hundredths. Raises InvalidValue for more than one
    of these and `percent`."""
    if sum(given is not None for given in (body.threshold, body.threshold_amount, body.percent)) > 1:
        raise InvalidValue("Give one of threshold, threshold_amount and percent.", param="threshold")
    if body.threshold_amount is not None:
        return body.threshold_amount * (HUNDREDTH_MICROS if unit == "micros" else 1)
    return body.threshold
