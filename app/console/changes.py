"""Changes of the audit log for people: which fields differ, with values that can be read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.console.formats import Formats
from app.console.language import translate
from app.core.limits import Limit
from app.store.audit_logs import LoggedChange
from app.store.engine import Database
from app.store.limits import limits_by_id
from app.store.organization import find_user

VALUE_CHARS_MAX = 300
_MONEY = ("micros", "amount_micros", "cost_micros", "ceiling_micros_per_image", "micros_per_dollar")


@dataclass(frozen=True, slots=True)
class ChangedField:
    """Field of a changed object. `before` or `after` is None where the object, or the field, was not there."""

    name: str
    before: str | None
    after: str | None


def changed_fields(
    change: LoggedChange, format: Formats, limits: Mapping[int, Limit], people: Mapping[str, str]
) -> list[ChangedField]:
    """List the fields that a change set, removed or altered, with names of limits and people in place of their ids."""
    projects = {change.project_id: change.project} if change.project_id and change.project else {}
    names = {**people, **projects}
    before, after = (_named(facts or {}, format, limits, names) for facts in (change.before, change.after))
    differing = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    fields = [ChangedField(name, _text(name, before, format), _text(name, after, format)) for name in differing]
    return [field for field in fields if (field.before, field.after) != (None, None)]


def _named(
    facts: Mapping[str, Any], format: Formats, limits: Mapping[int, Limit], names: Mapping[str, str]
) -> dict[str, Any]:
    """Return facts with names; the amounts of an increase are in the unit of its limit."""
    named = {
        name: names.get(value, value) if name in ("user_id", "scope_id", "project_id") else value
        for name, value in facts.items()
    }
    if (limit := limits.get(facts.get("limit_id", 0))) is None:
        return named
    label = str(translate(format.language, limit.label).unescape())
    amounts = {
        name: format.money(named[name]) for name in ("asked", "granted") if limit.unit == "micros" and named.get(name)
    }
    return {**named, "limit_id": label, **amounts}


def _text(name: str, facts: Mapping[str, Any], format: Formats) -> str | None:
    value = facts.get(name)
    if value is None or value in ("", [], {}):
        return None
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number and name.endswith("_ms"):
        return format.time(value // 1000)
    if is_number and (name in _MONEY or name.endswith("_micros") or _is_spend(name, facts)):
        return format.money(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"


def _is_spend(name: str, facts: Mapping[str, Any]) -> bool:
    return name in ("amount", "threshold") and facts.get("unit") == "micros"


async def limits_and_people(
    database: Database, changes: Sequence[LoggedChange]
) -> tuple[dict[int, Limit], dict[str, str]]:
    """Return the limits by id, and the names of the people by id, that these changes hold the ids of. What is gone is left out."""
    facts = [each for change in changes for each in (change.before, change.after) if each]
    limit_ids = {each["limit_id"] for each in facts if isinstance(each.get("limit_id"), int)}
    user_ids = {
        each[name] for each in facts for name in ("user_id", "scope_id") if str(each.get(name)).startswith("user-")
    }
    async with database.read() as connection:
        limits = await limits_by_id(connection, sorted(limit_ids))
        users = [user for id in sorted(user_ids) if (user := await find_user(connection, id)) is not None]
    return {limit.id: limit for limit in limits}, {user.id: user.name for user in users}
