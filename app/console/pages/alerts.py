"""Pages of the alerts: at how much who is told, tests of their channels, and what the channels answered."""

import asyncio
from typing import Any

from starlette.responses import Response

from app.api.schemas.alert_messages import AlertTestOut, FiringOut
from app.api.schemas.alerts import AlertOut
from app.console.alert_form import RELAYS, SCOPES, UNITS, AlertForm
from app.console.visit import Visit, signed_in
from app.control import alerts, models
from app.control.alert_tests import send_test
from app.control.alerts import AlertFilter
from app.core.alerts import Alert, Channel
from app.core.intervals import COUNTED
from app.errors import GatewayError
from app.notify.notifier import NotDelivered
from app.store.pages import Cursor

PAGE_ROWS = 50


async def list_alerts(visit: Visit) -> Response:
    """List the alerts, newest first, with the last firing of each."""
    cursor = Cursor(after=visit.query.get("after"), limit=PAGE_ROWS, descending=True)
    page = await alerts.page_of_alerts(visit.database, cursor, AlertFilter())
    fired = await alerts.last_firings(visit.database, page.records)
    rows = [
        {"alert": AlertOut.of(each), "firing": FiringOut.of(fired[each.id]) if each.id in fired else None}
        for each in page.records
    ]
    more = page.records[-1].id if page.has_more else None
    return visit.render("alerts.html", rows=rows, more=more)


async def show_alert(visit: Visit) -> Response:
    """Show an alert with its last firings and what each channel answered."""
    return await _page(visit, await alerts.show_alert(visit.database, visit.request.path_params["alert_id"]))


async def show_form(visit: Visit) -> Response:
    """Show the form for a new alert."""
    return await _form_page(visit, AlertForm(mail=(visit.user.email or "") if _has_mail(visit) else ""))


async def create_alert(visit: Visit) -> Response:
    """Create an alert. Its page says at once which channel cannot deliver, and shows the secret of a webhook, once."""
    form, notifier = AlertForm.from_fields(await visit.form()), visit.parts.gateway.notifier
    try:
        alert = await alerts.create_alert(visit.database, notifier, form.wanted())
    except GatewayError as exc:
        return await _form_page(visit, form, exc)
    problems = await asyncio.gather(*(_problem(visit, channel) for channel in alert.channels))
    probes = [
        {"channel": channel.public(), "problem": problem}
        for channel, problem in zip(alert.channels, problems, strict=True)
    ]
    secrets = [{"url": each.url, "secret": each.secret} for each in alert.channels if each.type == "webhook"]
    return await _page(visit, alert, probes=probes, secrets=secrets)


async def test_alert(visit: Visit) -> Response:
    """Send a test to every channel and show what each answered."""
    gateway, alert_id = visit.parts.gateway, visit.request.path_params["alert_id"]
    tested = await send_test(visit.database, gateway.notifier, alert_id, currency=gateway.currency, zone=gateway.zone)
    return await _page(visit, tested.alert, test=AlertTestOut.of(tested))


async def delete_alert(visit: Visit) -> Response:
    """Delete an alert and its unsent messages."""
    await alerts.delete_alert(visit.database, visit.request.path_params["alert_id"])
    return visit.redirect("/alerts", done="deleted")


def _has_mail(visit: Visit) -> bool:
    return visit.parts.gateway.notifier.mailbox.host is not None


async def _problem(visit: Visit, channel: Channel) -> str | None:
    """Return why a channel cannot deliver; None where nothing stands against it. Sends no message."""
    try:
        await visit.parts.gateway.notifier.probe(channel)
    except NotDelivered as exc:
        return exc.reason
    return None


async def _page(visit: Visit, alert: Alert, **more: Any) -> Response:
    given = {"probes": [], "secrets": [], "test": None} | more
    firings = await alerts.firings(visit.database, alert.id)
    return visit.render(
        "alert.html",
        secret=bool(given["secrets"]),
        alert=AlertOut.of(alert),
        firings=[FiringOut.of(each) for each in firings],
        **given,
    )


async def _form_page(visit: Visit, form: AlertForm, error: GatewayError | None = None) -> Response:
    return visit.render(
        "alert_form.html",
        secret=bool(form.chat),
        form=form,
        error=error,
        scopes=(*SCOPES, RELAYS),
        units=UNITS,
        has_mail=_has_mail(visit),
        intervals=COUNTED,
        models=[row.model for row in await models.list_models(visit.database)],
    )


routes = (
    ("GET", "/alerts", signed_in(list_alerts, "owner", "reader")),
    ("GET", "/alerts/new", signed_in(show_form, "owner")),
    ("POST", "/alerts", signed_in(create_alert, "owner")),
    ("GET", "/alerts/{alert_id}", signed_in(show_alert, "owner", "reader")),
    ("POST", "/alerts/{alert_id}/test", signed_in(test_alert, "owner")),
    ("POST", "/alerts/{alert_id}/delete", signed_in(delete_alert, "owner")),
)
