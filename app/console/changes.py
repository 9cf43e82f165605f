"""Changes of the audit log for people: which fields differ, with values that can be read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.console.formats import Formats
from app.store.audit_logs import LoggedChange

VALUE_CHARS_MAX = 300
_MONEY = ("micros", "amount_micros", "cost_micros", "ceiling_micros_per_image")


@dataclass(frozen=True, slots=True)
class ChangedField:
    """Field of a changed object. `before` or `after` is None where the object, or the field, was not there."""

    name: str
    before: str | None
    after: str | None


def changed_fields(change: LoggedChange, format: Formats) -> list[ChangedField]:
    """List the fields that a change set, removed or altered."""
    before, after = change.before or {}, change.after or {}
    differing = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    fields = [ChangedField(name, _text(name, before, format), _text(name, after, format)) for name in differing]
    return [field for field in fields if (field.before, field.after) != (None, None)]


def _text(name: str, facts: Mapping[str, Any], format: Formats) -> str | None:
    value = facts.get(name)
    if value is None or value in ("", [], {}):
        return None
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number and name.endswith("_ms"):
        return format.time(value // 1000)
    if is_number and (name in _MONEY or name.endswith("_micros") or _is_spend(name, facts)):
        return format.money(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"


def _is_spend(name: str, facts: Mapping[str, Any]) -> bool:
    """Return whether an amount of a limit or an alert is money."""
    return name in ("amount", "threshold") and facts.get("unit") == "micros"
