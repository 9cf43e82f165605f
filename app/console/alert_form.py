"""Form for a new alert: what is watched, at how much, and who is told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import get_args

from app.console.language import marked as _
from app.control.alerts import NewAlert
from app.control.limits import ScopeRef
from app.core.alerts import AlertUnit, Channel
from app.core.intervals import COUNTED, Interval
from app.core.limits import Scope
from app.core.money import hundredths_micros
from app.errors import InvalidValue

UNITS: tuple[AlertUnit, ...] = tuple(unit for unit in get_args(AlertUnit) if unit != "relays")
SCOPES: tuple[Scope, ...] = get_args(Scope)
RELAYS = "relays"
"""Choice beside the scopes: the relays themselves, of which neither amount nor interval is asked."""
_LIST = re.compile(r"[\s,;，；]+")
_CHANNELS_MAX = 20


@dataclass(frozen=True, slots=True)
class AlertForm:
    """Fields of the form as they were sent. `scope` may be RELAYS, to which alone `days` belongs. `of` is empty for the
    organization; `amount` or `percent` is empty; `mail` holds recipients, `webhook` and `chat` addresses, several by
    comma or line."""

    scope: str = "organization"
    of: str = ""
    model: str = ""
    unit: str = "micros"
    interval: str = "month"
    amount: str = ""
    percent: str = ""
    days: str = ""
    mail: str = ""
    webhook: str = ""
    chat: str = ""

    @classmethod
    def from_fields(cls, given: Mapping[str, str]) -> "AlertForm":
        return cls(**{each.name: given[each.name] for each in fields(cls) if each.name in given})

    def wanted(self) -> NewAlert:
        """Return the alert to create. Raises InvalidValue."""
        if self.scope == RELAYS:
            return NewAlert(ScopeRef("organization", ""), "relays", "lifetime", self._days(), self._channels())
        unit: AlertUnit = next((unit for unit in UNITS if unit == self.unit), "micros")
        scope: Scope = next((scope for scope in SCOPES if scope == self.scope), "organization")
        interval: Interval = next((each for each in COUNTED if each == self.interval), "month")
        if bool(self.amount) == bool(self.percent):
            raise InvalidValue(_("Write an amount or a percentage of the limit, one of the two."), param="amount")
        where = ScopeRef(scope, "" if scope == "organization" else self.of)
        threshold = self._threshold(unit) if self.amount else None
        percent = self._percent() if self.percent else None
        return NewAlert(where, unit, interval, threshold, self._channels(), self.model or None, percent)

    def _threshold(self, unit: AlertUnit) -> int:
        try:
            return hundredths_micros(self.amount) if unit == "micros" else int(self.amount)
        except ValueError:
            raise InvalidValue(_("Write the amount like 800 or 12.50."), param="amount") from None

    def _percent(self) -> int:
        try:
            return int(self.percent.removesuffix("%"))
        except ValueError:
            raise InvalidValue(_("Write the percentage like 80."), param="percent") from None

    def _days(self) -> int:
        try:
            return int(self.days or 0)
        except ValueError:
            raise InvalidValue(_("Write the number of days like 3."), param="days") from None

    def _channels(self) -> tuple[Channel, ...]:
        recipients = _listed(self.mail)
        found = [Channel("email", tuple(recipients))] if recipients else []
        found += [Channel("webhook", url=url) for url in _listed(self.webhook)]
        found += [Channel("chat", url=url) for url in _listed(self.chat)]
        if not found:
            raise InvalidValue(_("Say who is told: by mail, webhook or chat."), param="told")
        return tuple(found)


def _listed(text: str) -> list[str]:
    return [part for part in _LIST.split(text) if part][:_CHANNELS_MAX]
