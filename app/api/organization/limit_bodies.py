"""What a request says of one limit, wherever it stands."""

from typing import Annotated, Literal

from pydantic import Field

from app.api.organization.bodies import Body
from app.control.limits import LimitChange
from app.core.intervals import Interval
from app.core.limits import Unit
from app.core.money import HUNDREDTH_MICROS

UnitName = Literal["spend", "images", "requests", "in_flight"]
UNITS: dict[UnitName, Unit] = {"spend": "micros", "images": "images", "requests": "requests", "in_flight": "in_flight"}
UNIT_NAMES = {unit: name for name, unit in UNITS.items()}


def step_of(unit: Unit) -> int:
    """What one of the API's is in what the limit counts: money is in hundredths there."""
    return HUNDREDTH_MICROS if unit == "micros" else 1


class LimitSet(Body):
    """`amount` is hundredths of the book's currency for spend, and null to remove the limit; `interval` is minute (not for
    spend), day, week, month or lifetime, and lifetime for in_flight."""

    unit: UnitName
    interval: Interval = "lifetime"
    amount: int | None

    def change(self) -> LimitChange:
        unit = UNITS[self.unit]
        return LimitChange(unit, self.interval, None if self.amount is None else self.amount * step_of(unit))


class KeyLimit(LimitSet):
    """As any limit; `model` is the one it is for, and null is any."""

    amount: int
    model: Annotated[str, Field(max_length=128)] | None = None
