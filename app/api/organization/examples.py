"""What the API's own documentation shows of the routes for alerts and prices."""

from typing import Any

from app.api.organization.docs import described

_MAIL = {"type": "email", "recipients": ["finance@example.com"], "subject_prefix": "[imagegate]"}
SPEND_ALERT: dict[str, Any] = {
    "id": "alert_0k3n5v8q2x7m1c4b9z6l0p2d",
    "object": "organization.spend_alert",
    "interval": "month",
    "threshold_amount": 80000,
    "notification_channel": _MAIL,
    "currency": "CNY",
}
PROJECT_SPEND_ALERT: dict[str, Any] = {**SPEND_ALERT, "object": "project.spend_alert"}
ALERT: dict[str, Any] = {
    "id": "alert_0k3n5v8q2x7m1c4b9z6l0p2d",
    "object": "organization.alert",
    "scope": "user",
    "scope_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m",
    "scope_name": "lin",
    "unit": "images",
    "interval": "day",
    "threshold_amount": 100,
    "currency": None,
    "model": None,
    "notification_channels": [{"type": "webhook", "url": "https://example.com/hook"}, _MAIL],
    "created_at": 1795240000,
}
ALERT_CREATED: dict[str, Any] = {
    **ALERT,
    "notification_channels": [
        {"type": "webhook", "url": "https://example.com/hook", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        _MAIL,
    ],
}
FIRING: dict[str, Any] = {
    "id": "firing_2d0k3n5v8q2x7m1c4b9z6l0p",
    "object": "organization.alert.firing",
    "interval_starts_at": 1795190400,
    "threshold": "100",
    "used": "104",
    "fired_at": 1795240100,
    "deliveries": [
        {
            "id": "msg_5v8q2x7m1c4b9z6l0p2d0k3n",
            "notification_channel": {"type": "webhook", "url": "https://example.com/hook"},
            "state": "delivered",
            "attempts": 1,
            "next_attempt_at": None,
            "ended_at": 1795240101,
            "error": None,
        }
    ],
}
PRICE: dict[str, Any] = {
    "id": "price_6",
    "object": "organization.price",
    "model": "gpt-image-1",
    "operation": None,
    "size": None,
    "quality": "high",
    "currency": "CNY",
    "per_image": "1.50",
    "per_million_input_text": None,
    "per_million_input_image": None,
    "per_million_output": None,
    "ceiling_per_image": None,
    "starts_at": 1796054400,
    "in_force": False,
}
PRICE_BOOK: dict[str, Any] = {
    "currency": "CNY",
    "prices": [
        {"model": "seedream-3.0", "per_image": "0.08"},
        {"model": "gpt-image-1", "quality": "high", "per_image": "1.50", "from": "2026-12-01T00:00:00+08:00"},
    ],
}
PRICE_BOOK_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        kind: {"schema": {"type": "object"}, "example": PRICE_BOOK} for kind in ("application/json", "application/yaml")
    },
}
IMPORTED: dict[str, Any] = {
    "object": "organization.price.import",
    "dry_run": False,
    "set": [
        {
            "model": "gpt-image-1",
            "operation": None,
            "size": None,
            "quality": "high",
            "from": "2026-12-01",
            "was": None,
            "becomes": {"per_image": "1.50"},
        }
    ],
    "unchanged": 3,
    "past": 0,
}


def deleted(object: str) -> dict[str, Any]:
    """The answer to a DELETE."""
    return {"id": SPEND_ALERT["id"], "object": f"{object}.deleted", "deleted": True}


def imports() -> dict[str, Any]:
    """For the route that takes a price book."""
    spec = described(IMPORTED, 400, 403, extension=True)
    spec["openapi_extra"]["requestBody"] = PRICE_BOOK_BODY
    return spec
