"""Alerts: messages to people when usage reaches a threshold, sent once for each interval and threshold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from app.core.intervals import Interval, bounds_ms, iso, local_day
from app.core.limits import Scope
from app.core.money import decimal_text
from app.core.relay_alerts import RelayTrouble, relay_title, trouble_document, trouble_text, trouble_title

AlertUnit = Literal["micros", "images", "requests", "relays"]
"""What an alert watches: usage in one of three units, or the relays."""
ChannelType = Literal["email", "webhook", "chat"]


@dataclass(frozen=True, slots=True)
class Channel:
    """Destination of a message: mail to `recipients`, a POST to `url` signed with `secret`, or a chat robot named by `url`.

    The URL of a chat robot is a secret itself: `scheme://token`.
    """

    type: ChannelType
    recipients: tuple[str, ...] = ()
    subject_prefix: str | None = None
    url: str = ""
    secret: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Channel":
        return cls(**{**stored, "recipients": tuple(stored.get("recipients", ()))})

    def as_json(self) -> dict[str, Any]:
        """Return the non-empty fields, secrets included, for the database."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: list(value) if name == "recipients" else value for name, value in fields.items() if value}

    def public(self) -> dict[str, Any]:
        """Return the non-empty fields without secrets, for people and logs."""
        shown = {name: value for name, value in self.as_json().items() if name != "secret"}
        if self.type == "chat":
            shown["url"] = f"{self.url.partition('://')[0]}://***"
        return shown


@dataclass(frozen=True, slots=True)
class Alert:
    """Threshold on the usage of a scope. `scope_id` is empty for the organization, `model` for any model. `owner` is the name of
    the project, user or key.

    With a `percent` the threshold is that part of the limit of the same scope, model, unit and interval, and None without such a
    limit: then the alert does not fire.

    With the unit `relays` it tells of troubles of any relay, and `threshold` is the number of days that the balance of each must
    last; 0: no balance is watched."""

    id: str
    scope: Scope
    scope_id: str
    model: str
    unit: AlertUnit
    interval: Interval
    threshold: int | None
    channels: tuple[Channel, ...]
    created_at_ms: int
    owner: str = ""
    percent: int | None = None

    @property
    def is_plain(self) -> bool:
        """True for an alert that OpenAI's API can express: monthly spend of the organization or a project, by mail."""
        is_monthly_spend = (self.unit, self.interval, self.model, self.percent) == ("micros", "month", "", None)
        return (
            is_monthly_spend
            and self.scope in ("organization", "project")
            and [c.type for c in self.channels] == ["email"]
        )

    def covers(self, row: "DailyUsage") -> bool:
        """Return whether the usage belongs to the alert's scope and model, at any time."""
        ids = {"organization": "", "project": row.project_id, "user": row.user_id, "key": row.api_key_id}
        return ids[self.scope] == self.scope_id and self.model in ("", row.model)

    def sum_usage(self, rows: Iterable["DailyUsage"], since: str, until: str | None = None) -> int:
        """Sum the usage of the local days from `since` (inclusive) to `until` (exclusive)."""
        days = (row for row in rows if row.day >= since and (until is None or row.day < until))
        return sum(row.amount(self.unit) for row in days if self.covers(row))

    def interval_start(self, now_ms: int, zone: ZoneInfo) -> tuple[int, str]:
        """Return the start of the current interval (Unix ms) and its local day; 0 and an empty day for a lifetime."""
        starts_ms, _ = bounds_ms(self.interval, now_ms, zone)
        return starts_ms, "" if self.interval == "lifetime" else local_day(starts_ms, zone)


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """Usage of one model by one key on one local day."""

    day: str
    project_id: str
    user_id: str
    api_key_id: str
    model: str
    cost_micros: int
    images: int
    requests: int

    def amount(self, unit: AlertUnit) -> int:
        amount: int = getattr(self, "cost_micros" if unit == "micros" else unit)
        return amount


@dataclass(frozen=True, slots=True)
class Firing:
    """Alert that fired. `starts_at_ms` is the start of its interval (Unix ms), 0 for a lifetime."""

    id: str
    alert: Alert
    starts_at_ms: int
    threshold: int
    used: int
    fired_at_ms: int
    trouble: RelayTrouble | None = None
    """Set for an alert on relays; then `used` is 1 for the begin of the trouble and 0 for its end."""


@dataclass(frozen=True, slots=True)
class Message:
    """Message to a channel. A message that is sent again has the same `id`, so that receivers can drop it."""

    id: str
    title: str
    text: str
    document: dict[str, Any]


def message(delivery_id: str, firing: Firing, currency: str, zone: ZoneInfo) -> Message:
    """Make the message about a firing: a text for people and a document for programs."""
    alert, trouble = firing.alert, firing.trouble
    if trouble is not None:
        is_over = firing.used == 0
        title = trouble_title(trouble, is_over=is_over)
        text = f"{title}.\n\n{trouble_text(trouble, currency, zone, is_over=is_over)}"
        data = _data(alert, trouble.balance_days, currency) | {"firing_id": firing.id, "title": title}
        data["relay"] = trouble_document(trouble, is_over=is_over)
        return Message(delivery_id, title, text, _document("alert.fired", firing.fired_at_ms, zone, data))
    title = _title(alert, firing.threshold, currency)
    since = f" since {iso(firing.starts_at_ms, zone)}" if firing.starts_at_ms else ""
    text = f"{title}.\n\nUsed{since}: {_amount_text(firing.used, alert, currency)}.\nNoticed at {iso(firing.fired_at_ms, zone)}.\n"
    data = _data(alert, firing.threshold, currency) | {
        "firing_id": firing.id,
        "title": title,
        "interval_starts_at": firing.starts_at_ms // 1000 if firing.starts_at_ms else None,
        "used": _plain_amount(firing.used, alert),
    }
    return Message(delivery_id, title, text, _document("alert.fired", firing.fired_at_ms, zone, data))


_WHEN = {"day": "today", "week": "this week", "month": "this month", "lifetime": "in all"}


def sample_message(message_id: str, alert: Alert, at_ms: int, currency: str, zone: ZoneInfo) -> Message:
    """Make a message that says that it is a test, in the form of one about a firing; the document's type is `alert.test`."""
    sample = _title(alert, alert.threshold or 0, currency)
    title = f"TEST, nothing was reached: {sample}"
    text = (
        f"This is a test of an alert, sent by hand at {iso(at_ms, zone)}. Nothing was reached, and there is nothing to do.\n\n"
        f"When the alert fires, its message says: {sample}.\n"
    )
    data = _data(alert, alert.threshold or 0, currency) | {"title": title}
    return Message(message_id, title, text, _document("alert.test", at_ms, zone, data))


def _title(alert: Alert, threshold: int, currency: str) -> str:
    if alert.unit == "relays":
        return relay_title(threshold)
    unit = {"micros": "spend", "images": "images", "requests": "requests"}[alert.unit]
    scope = "the organization" if alert.scope == "organization" else f"{alert.scope} {alert.owner or alert.scope_id}"
    for_model = f" of {alert.model}" if alert.model else ""
    amount = _amount_text(threshold, alert, currency)
    # A firing whose alert or limit was changed since has the threshold of then.
    percent = f" ({alert.percent}% of the limit)" if alert.percent and alert.threshold == threshold else ""
    return f"{unit.capitalize()}{for_model} by {scope} {_WHEN[alert.interval]} reached {amount}{percent}"


def _document(type: str, at_ms: int, zone: ZoneInfo, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": type, "timestamp": iso(at_ms, zone), "data": data}


def _data(alert: Alert, threshold: int, currency: str) -> dict[str, Any]:
    """Return what a document says about the alert; a firing adds itself."""
    is_money = alert.unit == "micros"
    return {
        "alert_id": alert.id,
        "firing_id": None,
        "scope": alert.scope,
        "scope_id": alert.scope_id or None,
        "scope_name": alert.owner or None,
        "model": alert.model or None,
        "unit": "spend" if is_money else alert.unit,
        "interval": alert.interval,
        "interval_starts_at": None,
        "currency": currency if is_money else None,
        "threshold": _plain_amount(threshold, alert),
        "percent": alert.percent,
        "used": None,
    }


def _plain_amount(amount: int, alert: Alert) -> str:
    return decimal_text(amount) if alert.unit == "micros" else str(amount)


def _amount_text(amount: int, alert: Alert, currency: str) -> str:
    return f"{_plain_amount(amount, alert)} {currency if alert.unit == 'micros' else alert.unit}"
