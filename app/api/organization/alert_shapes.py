"""Alerts as OpenAI's spend alerts and as ours, and back."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.api.organization.bodies import Body
from app.api.organization.shapes import seconds
from app.core.alerts import Alert, Channel
from app.core.money import HUNDREDTH_MICROS, decimal_text
from app.errors import InvalidValue
from app.store.deliveries import FiringRecord

Text = Annotated[str, Field(max_length=2048)]


class EmailChannel(Body):
    """OpenAI's notification channel: mail."""

    type: Literal["email"]
    recipients: Annotated[list[Annotated[str, Field(max_length=254)]], Field(max_length=50)]
    subject_prefix: Annotated[str, Field(max_length=64)] | None = None


class WebhookChannel(Body):
    """Ours: a signed POST. Without a `secret` one is made; it is shown in this answer only."""

    type: Literal["webhook"]
    url: Text
    secret: Annotated[str, Field(max_length=128)] | None = None


class ChatChannel(Body):
    """Ours: a robot of Feishu, Lark, DingTalk, WeCom or Slack, like `feishu://TOKEN`."""

    type: Literal["chat"]
    url: Text


_MAIL = {"type": "email", "recipients": ["finance@example.com"]}
_SPEND = {"currency": "CNY", "interval": "month", "threshold_amount": 80000, "notification_channel": _MAIL}
_HOOK = {"type": "webhook", "url": "https://example.com/hook"}
_DAILY = {"scope": "user", "scope_id": "lin", "unit": "images", "interval": "day", "threshold_amount": 100}


class SpendAlertBody(Body, json_schema_extra={"example": _SPEND}):
    """What OpenAI's create and modify say; all of it every time."""

    currency: Annotated[str, Field(max_length=8)]
    interval: Literal["month"]
    notification_channel: EmailChannel
    threshold_amount: int


AnyChannel = Annotated[EmailChannel | WebhookChannel | ChatChannel, Field(discriminator="type")]
Channels = Annotated[list[AnyChannel], Field(min_length=1, max_length=10)]
Counted = Literal["day", "week", "month", "lifetime"]


class AlertCreateBody(Body, json_schema_extra={"example": {**_DAILY, "notification_channels": [_HOOK]}}):
    """`threshold_amount` is in hundredths of the book's currency for spend, else a number of images or requests."""

    scope: Literal["organization", "project", "user", "key"] = "organization"
    scope_id: Annotated[str, Field(max_length=200)] | None = None
    unit: Literal["spend", "images", "requests"] = "spend"
    interval: Counted = "month"
    threshold_amount: int
    currency: Annotated[str, Field(max_length=8)] | None = None
    model: Annotated[str, Field(max_length=128)] | None = None
    notification_channels: Channels


class AlertModifyBody(Body, json_schema_extra={"example": {"threshold_amount": 200}}):
    """What is left out stays. A webhook whose URL stays keeps its secret."""

    interval: Counted | None = None
    threshold_amount: int | None = None
    notification_channels: Channels | None = None


def spend_alert(alert: Alert) -> dict[str, Any]:
    """OpenAI's object; its `currency` is added by the route."""
    channel = alert.channels[0]
    return {
        "id": alert.id,
        "object": f"{alert.scope}.spend_alert",
        "interval": alert.interval,
        "threshold_amount": alert.threshold // HUNDREDTH_MICROS,
        "notification_channel": _email(channel),
    }


def alert_object(alert: Alert, currency: str, *, secrets: bool = False) -> dict[str, Any]:
    """Ours. `secrets`: of its webhooks too, for the answer that made them."""
    is_money = alert.unit == "micros"
    return {
        "id": alert.id,
        "object": "organization.alert",
        "scope": alert.scope,
        "scope_id": alert.scope_id or None,
        "scope_name": alert.owner or None,
        "unit": "spend" if is_money else alert.unit,
        "interval": alert.interval,
        "threshold_amount": alert.threshold // HUNDREDTH_MICROS if is_money else alert.threshold,
        "currency": currency if is_money else None,
        "model": alert.model or None,
        "notification_channels": [_channel(channel, secrets) for channel in alert.channels],
        "created_at": seconds(alert.created_at_ms),
    }


def firing_object(firing: FiringRecord, alert: Alert) -> dict[str, Any]:
    """What set an alert off, and how each message went."""
    is_money = alert.unit == "micros"
    return {
        "id": firing.id,
        "object": "organization.alert.firing",
        "interval_starts_at": seconds(firing.starts_at_ms) or None,
        "threshold": decimal_text(firing.threshold) if is_money else str(firing.threshold),
        "used": decimal_text(firing.used) if is_money else str(firing.used),
        "fired_at": seconds(firing.fired_at_ms),
        "deliveries": [
            {
                "id": each.id,
                "notification_channel": each.channel,
                "state": each.state,
                "attempts": each.attempts,
                "next_attempt_at": seconds(each.due_at_ms) if each.state == "pending" else None,
                "ended_at": seconds(each.ended_at_ms),
                "error": each.error,
            }
            for each in firing.deliveries
        ],
    }


def channel_of(given: EmailChannel | WebhookChannel | ChatChannel) -> Channel:
    """As the core has it."""
    match given:
        case EmailChannel():
            return Channel("email", tuple(given.recipients), given.subject_prefix)
        case WebhookChannel():
            return Channel("webhook", url=given.url, secret=given.secret or "")
        case ChatChannel():
            return Channel("chat", url=given.url)


def check_currency(given: str, currency: str) -> None:
    """Raises InvalidValue: nothing is ever converted."""
    if given != currency:
        message = f"The book of this installation is in {currency}; amounts are never converted, so send that."
        raise InvalidValue(message, param="currency")


def _email(channel: Channel) -> dict[str, Any]:
    return {"type": "email", "recipients": list(channel.recipients), "subject_prefix": channel.subject_prefix}


def _channel(channel: Channel, secrets: bool) -> dict[str, Any]:
    if channel.type == "email":
        return _email(channel)
    return {**channel.public(), **({"secret": channel.secret} if secrets and channel.secret else {})}
