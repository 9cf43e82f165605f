"""Page of the audit log: who changed what, before and after."""

from datetime import date, timedelta

from starlette.responses import Response

from app.api.schemas.audit_logs import OWN_EVENTS, AuditLogOut
from app.console.changes import changed_fields, limits_and_people
from app.console.formats import Formats
from app.console.visit import Visit, signed_in
from app.control.dates import start_of_day_ms
from app.errors import InvalidValue
from app.store.audit_logs import AuditLogFilter, page_of_changes
from app.store.pages import Cursor

PAGE_ROWS = 50
_EVENTS = sorted(
    {
        *("api_key.created", "api_key.updated", "api_key.deleted"),
        *("invite.sent", "invite.accepted", "invite.deleted"),
        *("rate_limit.updated", "rate_limit.deleted", "statement.closed", "organization.updated"),
        *("project.created", "project.updated", "project.archived"),
        *("service_account.created", "service_account.updated", "service_account.deleted"),
        *("user.added", "user.updated", "user.deleted"),
        *OWN_EVENTS,
    }
)
"""Names of events: those that OpenAI has, too, and our own. The part before the dot is the kind of what was changed."""
_ALSO = {"pictures": "picture", "rate_limit": "limit"}
"""Kinds that the filter has under the name of another."""


def _kind(event: str) -> str:
    kind = event.partition(".")[0]
    return _ALSO.get(kind, kind)


KINDS = tuple(dict.fromkeys(_kind(event) for event in _EVENTS))
FILTERS = ("event", "actor", "target", "project", "since", "until")


async def show_changes(visit: Visit) -> Response:
    """Show changes, newest first, as the filters in the address say."""
    asked = {name: visit.query.get(name, "").strip()[:200] for name in FILTERS}
    after = visit.query.get("after")
    wanted = _filter(visit, asked)
    try:
        page = await visit.database.ask(page_of_changes, Cursor(after=after, limit=PAGE_ROWS, descending=True), wanted)
    except InvalidValue:  # The address begins after a change that never was.
        page = await visit.database.ask(page_of_changes, Cursor(limit=PAGE_ROWS, descending=True), wanted)
    format = Formats(visit.language, visit.parts.gateway.zone, visit.parts.gateway.currency)
    known = await limits_and_people(visit.database, page.records)
    rows = [
        {"change": AuditLogOut.of(each), "target": each.target_id, "fields": changed_fields(each, format, *known)}
        for each in page.records
    ]
    more = page.records[-1].id if page.has_more else None
    return visit.render("audit.html", rows=rows, asked=asked, more=more, kinds=KINDS)


def _filter(visit: Visit, asked: dict[str, str]) -> AuditLogFilter:
    """Make the filter. An actor is an id or an e-mail address; days are those of the organization's zone."""
    zone = visit.parts.gateway.zone
    since, until = _day(asked["since"]), _day(asked["until"])
    is_email = "@" in asked["actor"]
    return AuditLogFilter(
        events=_events(asked["event"]),
        actor_ids=[asked["actor"]] if asked["actor"] and not is_email else [],
        actor_emails=[asked["actor"].lower()] if is_email else [],
        project_ids=[asked["project"]] if asked["project"] else [],
        target_ids=[asked["target"]] if asked["target"] else [],
        from_ms=None if since is None else start_of_day_ms(since.isoformat(), "since", zone),
        until_ms=None if until is None else start_of_day_ms((until + timedelta(days=1)).isoformat(), "until", zone),
    )


def _events(asked: str) -> list[str]:
    """Return the events of a kind, or the one event that is named."""
    found = [event for event in _EVENTS if _kind(event) == asked]
    return found or ([asked] if asked else [])


def _day(text: str) -> date | None:
    """Read a day of the address; None for what is none, or is so far off that no change lies there."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 2000 <= found.year < 2999 else None


routes = (("GET", "/audit", signed_in(show_changes, "owner", "reader")),)
