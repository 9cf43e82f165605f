"""Alerts of any scope, unit and channel, and OpenAI's spend alerts, which are made from them."""

from typing import Annotated, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, absent
from app.core.alerts import Alert, AlertUnit, Channel
from app.core.intervals import Interval
from app.core.limits import Scope
from app.core.money import HUNDREDTH_MICROS

Counted = Literal["day", "week", "month", "lifetime"]
_MAIL = {"type": "email", "recipients": ["finance@example.com"], "subject_prefix": "[imagegate]"}
_HOOK = {"type": "webhook", "url": "https://example.com/hook"}
_ALERT = {
    "object": "alert",
    "id": "alert_0k3n5v8q2x7m1c4b9z6l0p2d",
    "scope": "user",
    "scope_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m",
    "scope_name": "lin",
    "model": None,
    "unit": "images",
    "interval": "day",
    "threshold": 100,
    "percent": None,
    "notification_channels": [_HOOK, _MAIL],
    "created_at": 1795240000,
}
_SPEND_ALERT = {
    "id": "alert_0k3n5v8q2x7m1c4b9z6l0p2d",
    "object": "organization.spend_alert",
    "interval": "month",
    "threshold_amount": 80000,
    "notification_channel": _MAIL,
    "currency": "CNY",
}


class EmailChannelOut(AnswerModel):
    """Mail to these recipients."""

    type: Literal["email"] = "email"
    recipients: list[str]
    subject_prefix: str | None


class UrlChannelOut(AnswerModel):
    """Webhook (a signed POST) or chat robot. Only the answer to a creation has the `secret` of a webhook, none a robot's token."""

    type: Literal["webhook", "chat"]
    url: str
    secret: str | None = absent()


ChannelOut = EmailChannelOut | UrlChannelOut


class AlertOut(AnswerModel, json_schema_extra={"example": _ALERT}):
    """Alert: a threshold, which fires once for each interval, and the channels of its messages."""

    object: Literal["alert"] = "alert"
    id: str
    scope: Scope
    scope_id: str | None = Field(description="Null for the organization.")
    scope_name: str | None
    model: str | None = Field(description="Null: any model.")
    unit: AlertUnit = Field(
        description="Unit of `threshold`: micros (of the book's currency), images, requests. `relays`: it tells of relays that are "
        "paused and well again, and the threshold is the days that the balance of each must last, 0: no balance is watched."
    )
    interval: Interval
    threshold: int | None = Field(description="Null while the limit is not set that `percent` is taken of.")
    percent: int | None = Field(
        description="Of the limit of the same scope, model, unit and interval; null: a fixed threshold."
    )
    notification_channels: list[ChannelOut]
    created_at: int

    @classmethod
    def of(cls, alert: Alert, *, secrets: bool = False) -> Self:
        """Make the answer; with `secrets` it has those of webhooks."""
        return cls.from_record(
            alert,
            scope_id=alert.scope_id or None,
            scope_name=alert.owner or None,
            model=alert.model or None,
            notification_channels=[_channel(channel, secrets) for channel in alert.channels],
        )


class SpendAlertOut(AnswerModel, json_schema_extra={"example": _SPEND_ALERT}):
    """OpenAI's spend alert; `threshold_amount` in hundredths of the currency."""

    id: str
    object: str
    interval: Interval
    threshold_amount: int
    notification_channel: ChannelOut
    currency: str

    @classmethod
    def of(cls, alert: AlertOut, currency: str) -> Self:
        """Make it from an alert on a month's spend with one channel."""
        assert alert.threshold is not None  # It has no percent.
        return cls.from_record(
            alert,
            object=f"{alert.scope}.spend_alert",
            threshold_amount=alert.threshold // HUNDREDTH_MICROS,
            notification_channel=alert.notification_channels[0],
            currency=currency,
        )


_Text = Annotated[str, Field(max_length=2048)]


class EmailChannelIn(InputModel):
    """OpenAI's notification channel: mail."""

    type: Literal["email"]
    recipients: Annotated[list[Annotated[str, Field(max_length=254)]], Field(max_length=50)]
    subject_prefix: Annotated[str, Field(max_length=64)] | None = None

    def channel(self) -> Channel:
        return Channel("email", tuple(self.recipients), self.subject_prefix)


class WebhookChannelIn(InputModel):
    """Webhook: a signed POST (an extension). Without a `secret` one is made, which only the answer to the creation has."""

    type: Literal["webhook"]
    url: _Text
    secret: Annotated[str, Field(max_length=128)] | None = None

    def channel(self) -> Channel:
        return Channel("webhook", url=self.url, secret=self.secret or "")


class ChatChannelIn(InputModel):
    """Chat robot of Feishu, Lark, DingTalk, WeCom or Slack (an extension), like `feishu://TOKEN`."""

    type: Literal["chat"]
    url: _Text

    def channel(self) -> Channel:
        return Channel("chat", url=self.url)


ChannelIn = Annotated[EmailChannelIn | WebhookChannelIn | ChatChannelIn, Field(discriminator="type")]
ChannelsIn = Annotated[list[ChannelIn], Field(min_length=1, max_length=10)]


class SpendAlertSet(
    InputModel,
    json_schema_extra={
        "example": {
            "currency": "CNY",
            "interval": "month",
            "threshold_amount": 80000,
            "notification_channel": {"type": "email", "recipients": ["finance@example.com"]},
        }
    },
):
    """Spend alert to create or to replace, in OpenAI's form."""

    currency: Annotated[str, Field(max_length=8)]
    interval: Literal["month"]
    notification_channel: EmailChannelIn
    threshold_amount: int


class AlertCreate(
    InputModel,
    json_schema_extra={
        "example": {
            "scope": "user",
            "scope_id": "lin",
            "unit": "images",
            "interval": "day",
            "threshold": 100,
            "notification_channels": [_HOOK],
        }
    },
):
    """Alert to create. The older `threshold_amount` and unit `spend` count money in hundredths. One on `relays` tells when one of
    them is paused or well again; it is of the organization, and a `threshold` adds their balances."""

    scope: Scope = "organization"
    scope_id: Annotated[str, Field(max_length=200)] | None = None
    unit: Literal["micros", "images", "requests", "relays", "spend"] = "spend"
    interval: Counted = "month"
    threshold: int | None = Field(
        None, description="In the unit; of money in micros and whole hundredths; of relays days."
    )
    threshold_amount: int | None = Field(None, description="Older form of `threshold`: money in hundredths.")
    percent: int | None = Field(
        None, description="In place of a threshold: of the limit of this scope, model, unit and interval, 1 to 100."
    )
    currency: Annotated[str, Field(max_length=8)] | None = None
    model: Annotated[str, Field(max_length=128)] | None = None
    notification_channels: ChannelsIn


class AlertModify(InputModel, json_schema_extra={"example": {"threshold": 200}}):
    """Change of an alert. Fields left out stay as they are. A webhook whose URL stays keeps its secret."""

    interval: Counted | None = None
    threshold: int | None = Field(None, description="In the alert's unit.")
    threshold_amount: int | None = Field(None, description="Older form of `threshold`: money in hundredths.")
    percent: int | None = Field(
        None, description="Of the limit; takes the place of the threshold, and the other way round."
    )
    notification_channels: ChannelsIn | None = None


def _channel(channel: Channel, secrets: bool) -> ChannelOut:
    if channel.type == "email":
        return EmailChannelOut(recipients=list(channel.recipients), subject_prefix=channel.subject_prefix)
    secret = channel.secret if secrets and channel.secret else None
    return UrlChannelOut(type=channel.type, url=str(channel.public()["url"]), secret=secret)
