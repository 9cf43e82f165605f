"""Messages of alerts: firings with the state of their deliveries, and results of tests."""

from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, seconds
from app.control.alert_tests import AlertTest, ChannelTest
from app.store.deliveries import Delivery, DeliveryState, FiringRecord

_HOOK = {"type": "webhook", "url": "https://example.com/hook"}
_MAIL = {"type": "email", "recipients": ["finance@example.com"]}
_FIRING = {
    "object": "alert.firing",
    "id": "firing_2d0k3n5v8q2x7m1c4b9z6l0p",
    "interval_starts_at": 1795190400,
    "threshold": 100,
    "used": 104,
    "fired_at": 1795240100,
    "relay": None,
    "code": None,
    "deliveries": [
        {
            "id": "msg_5v8q2x7m1c4b9z6l0p2d0k3n",
            "notification_channel": _HOOK,
            "state": "delivered",
            "attempts": 1,
            "next_attempt_at": None,
            "ended_at": 1795240101,
            "error": None,
        }
    ],
}
_TEST = {
    "object": "alert.test",
    "id": "alert_0k3n5v8q2x7m1c4b9z6l0p2d",
    "sent_at": 1795240100,
    "channels": [
        {"id": "msg_5v8q2x7m1c4b9z6l0p2d0k3n", "notification_channel": _HOOK, "delivered": True, "error": None},
        {
            "id": "msg_8q2x7m1c4b9z6l0p2d0k3n5v",
            "notification_channel": _MAIL,
            "delivered": False,
            "error": "The mail server did not take it: SMTPAuthenticationError 535.",
        },
    ],
}


class DeliveryOut(AnswerModel):
    """Message of a firing to one channel, without its secrets."""

    id: str
    notification_channel: dict[str, Any]
    state: DeliveryState
    attempts: int
    next_attempt_at: int | None
    ended_at: int | None
    error: str | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        due_at = seconds(delivery.due_at_ms) if delivery.state == "pending" else None
        return cls.from_record(delivery, notification_channel=delivery.channel, next_attempt_at=due_at)


class FiringOut(AnswerModel, json_schema_extra={"example": _FIRING}):
    """Firing of an alert; `threshold` and `used` in the alert's unit. Of an alert on relays `threshold` is the days that a balance
    must last, 0 where the relay is paused; `used` is 1 when that began and 0 when it was over."""

    object: Literal["alert.firing"] = "alert.firing"
    id: str
    interval_starts_at: int | None = Field(description="Null for a lifetime.")
    threshold: int
    used: int
    fired_at: int
    relay: str | None = Field(description="Name of the relay, of an alert on relays.")
    code: str | None = Field(description="Error code for which that relay is paused.")
    deliveries: list[DeliveryOut]

    @classmethod
    def of(cls, firing: FiringRecord) -> Self:
        deliveries = [DeliveryOut.of(each) for each in firing.deliveries]
        starts_at, trouble = seconds(firing.starts_at_ms) or None, firing.trouble
        return cls.from_record(
            firing,
            interval_starts_at=starts_at,
            threshold=trouble.balance_days if trouble else firing.threshold,
            relay=trouble and trouble.relay,
            code=trouble and trouble.code,
            deliveries=deliveries,
        )


class ChannelTestOut(AnswerModel):
    """Test message to one channel; `error` is why it was not delivered."""

    id: str
    notification_channel: dict[str, Any]
    delivered: bool
    error: str | None

    @classmethod
    def of(cls, test: ChannelTest) -> Self:
        return cls.from_record(test, notification_channel=test.channel.public())


class AlertTestOut(AnswerModel, json_schema_extra={"example": _TEST}):
    """Test of an alert: a message marked as a test was sent to each of its channels once. `id` is the alert's."""

    object: Literal["alert.test"] = "alert.test"
    id: str
    sent_at: int
    channels: list[ChannelTestOut]

    @classmethod
    def of(cls, test: AlertTest) -> Self:
        return cls.from_record(test, id=test.alert.id, channels=[ChannelTestOut.of(each) for each in test.channels])
