"""Form for a new key: what people choose, and the key it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.console.language import marked as _
from app.control.limits import LimitChange
from app.control.project_keys import NewProjectKey
from app.core.money import hundredths_micros
from app.errors import InvalidValue

HOUR_S, DAY_S = 3600, 86_400
LIFETIMES: dict[str, int | None] = {"30d": 30 * DAY_S, "90d": 90 * DAY_S, "365d": 365 * DAY_S, "never": None}
"""Seconds that a new key lasts, by the choice in the form."""
GRACES = {"leaked": 0, "hour": HOUR_S, "day": DAY_S, "week": 7 * DAY_S}
"""Seconds that an old secret goes on after a rotation, by the choice in the form."""


@dataclass(frozen=True, slots=True)
class KeyForm:
    """Fields of the form as they were sent. Without `models` every model is allowed; `spend` is per month, empty for no limit."""

    name: str = ""
    project: str = "proj_default"
    user: str = ""
    lifetime: str = "90d"
    spend: str = ""
    models: tuple[str, ...] = ()

    @classmethod
    def from_items(cls, items: Sequence[tuple[str, str]]) -> "KeyForm":
        """Make the form from its fields; `models` may come several times."""
        given = {name: value for name, value in items if name in ("name", "project", "user", "lifetime", "spend")}
        return cls(**given, models=tuple(value for name, value in items if name == "models"))

    def wanted(self, user: str) -> NewProjectKey:
        """Return the key to make for a user, by id or name. Raises InvalidValue."""
        if self.lifetime not in LIFETIMES:
            raise InvalidValue(_("Choose how long the key lasts."), param="lifetime")
        try:
            spend = [LimitChange("micros", "month", hundredths_micros(self.spend))] if self.spend else []
        except ValueError:
            raise InvalidValue(_("Write the limit like 20 or 12.50."), param="spend") from None
        limits = [(None, change) for change in spend]
        return NewProjectKey(user, self.name or None, LIFETIMES[self.lifetime], self.models or None, limits)
