"""Forms and tables of limits: what people write, and limits in a matrix of owners by kinds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

from app.api.schemas.limits import LimitOut
from app.console.language import marked as _
from app.console.visit import Visit
from app.control import limits
from app.control.dates import start_of_day_ms
from app.control.limit_lists import LimitOwner
from app.control.limit_raises import raise_until
from app.control.limits import LimitChange, ScopeRef
from app.core.intervals import Interval
from app.core.limit_words import parse_amount
from app.core.limits import LimitScope, Unit
from app.core.money import decimal_text
from app.errors import InvalidValue
from app.store.limit_increases import temporary_increases

UNITS: tuple[Unit, ...] = get_args(Unit)
INTERVALS: tuple[Interval, ...] = get_args(Interval)
SCOPES: tuple[LimitScope, ...] = ("everyone", "user", "project", "key", "organization")
Kind = tuple[Unit, Interval, str]
"""Unit, interval and model of limits that stand in one column; the model is empty for any."""


@dataclass(frozen=True, slots=True)
class LimitInput:
    """Fields of the form as they were sent. `until` is the last day of a raise, empty for good; `model` is empty for any."""

    scope: str = "user"
    scope_id: str = ""
    unit: str = "micros"
    interval: str = "month"
    model: str = ""
    amount: str = ""
    until: str = ""

    @classmethod
    def from_fields(cls, given: Mapping[str, str]) -> "LimitInput":
        """Make the form from what a browser sent or an address holds."""
        return cls(**{field.name: given[field.name][:200] for field in fields(cls) if field.name in given})

    @property
    def place(self) -> ScopeRef:
        """Scope that the form names. Raises InvalidValue."""
        for scope in SCOPES:
            if scope == self.scope:
                reference = "" if scope == "organization" else self.scope_id
                if not reference and scope not in ("organization", "everyone"):
                    raise InvalidValue(_("Say whose limit it is."), param="scope_id")
                return ScopeRef(scope, reference)
        raise InvalidValue(_("Choose whose limit it is."), param="scope")

    @property
    def kind(self) -> tuple[Unit, Interval]:
        """Unit and interval. Raises InvalidValue."""
        unit = next((each for each in UNITS if each == self.unit), None)
        interval = next((each for each in INTERVALS if each == self.interval), None)
        if unit is None or interval is None:
            raise InvalidValue(_("Choose what the limit counts."), param="unit")
        if (unit, interval) == ("micros", "minute"):
            raise InvalidValue(_("Money is limited per day, week or month, or in all."), param="interval")
        return (unit, "lifetime") if unit == "in_flight" else (unit, interval)

    async def apply(self, visit: Visit, *, remove: bool = False) -> None:
        """Set the limit, remove it, or raise it until a day. Raises as `set_limits` and `raise_until` do."""
        database, zone, (unit, interval) = visit.database, visit.parts.gateway.zone, self.kind
        amount = None if remove else amount_of(unit, self.amount)
        if amount is None or not self.until:
            change = LimitChange(unit, interval, amount)
            await limits.set_limits(database, zone, self.place, self.model or None, [change])
            return
        there = await limits.show_limits(database, zone, self.place, self.model)
        found = [each.limit for each in there if (each.limit.unit, each.limit.interval) == (unit, interval)]
        own = [limit for limit in found if limit.scope == self.scope]
        if not own:
            raise InvalidValue(_("Only a limit that is there can be raised until a day."), param="until")
        await raise_until(database, own[0].id, amount, _end_of_day_ms(self.until, zone))


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """Owner of limits, with a limit for each kind it has one of."""

    scope: LimitScope
    id: str
    name: str
    cells: Mapping[Kind, LimitOut]


def matrix(scope_of: Iterable[tuple[LimitScope, LimitOwner]]) -> tuple[list[Kind], list[MatrixRow]]:
    """Return the kinds of the limits that are there, which are the columns, and a row for each owner."""
    rows = []
    for scope, owner in scope_of:
        found = [LimitOut.of(state) for state in owner.limits]
        cells: dict[Kind, LimitOut] = {(each.unit, each.interval, each.model or ""): each for each in found}
        rows.append(MatrixRow(scope, owner.id, owner.name, cells))
    kinds = {kind for row in rows for kind in row.cells}
    return sorted(kinds, key=lambda kind: (UNITS.index(kind[0]), INTERVALS.index(kind[1]), kind[2])), rows


async def limit_values(visit: Visit) -> dict[str, Any]:
    """Return what tables of limits need: how to write an amount in a form, raises by limit, and the limit that is edited."""
    return {
        "plain": plain_amount,
        "raises": await _raises(visit),
        "editing": visit.query.get("edit", "") if visit.role == "owner" else "",
        "may_edit": visit.role == "owner",
    }


async def _raises(visit: Visit) -> dict[str, int]:
    """Return the last instant (Unix s) at which a limit goes back, by the limit's id."""
    return {
        f"limit_{each.limit_id}": (each.until_ms or 0) // 1000 for each in await visit.database.ask(temporary_increases)
    }


def amount_of(unit: Unit, text: str) -> int:
    """Parse an amount in a unit. Raises InvalidValue."""
    try:
        return parse_amount(unit, text.strip())
    except ValueError:
        message = _("Write the limit like 20 or 12.50.") if unit == "micros" else _("Write a whole number, like 20.")
        raise InvalidValue(message, param="amount") from None


def plain_amount(unit: Unit, amount: int) -> str:
    """Write an amount as a form takes it."""
    return decimal_text(amount) if unit == "micros" else str(amount)


def _end_of_day_ms(day: str, zone: ZoneInfo) -> int:
    """Return the end of a local day, which belongs to the time of a raise. Raises InvalidValue."""
    start_of_day_ms(day, "until", zone)  # Refuses what is no day.
    return start_of_day_ms((date.fromisoformat(day) + timedelta(days=1)).isoformat(), "until", zone)
