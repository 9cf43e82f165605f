"""Period of a report, as it stands in the address of a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

PERIODS = ("today", "7d", "30d", "month", "last-month")
DAYS_MAX = 3660


@dataclass(frozen=True, slots=True)
class ReportPeriod:
    """Days of a report. `last` belongs to it. `name` is empty for days of one's own."""

    name: str
    first: date
    last: date

    @property
    def since(self) -> str:
        return self.first.isoformat()

    @property
    def until(self) -> str:
        """The day after the last, as reports want it."""
        return (self.last + timedelta(days=1)).isoformat()

    @property
    def days(self) -> list[str]:
        return [
            (self.first + timedelta(days=number)).isoformat() for number in range((self.last - self.first).days + 1)
        ]

    @property
    def query(self) -> dict[str, str]:
        """Return the parameters of an address with this period."""
        if self.name:
            return {"period": self.name}
        return {"since": self.first.isoformat(), "until": self.last.isoformat()}


def period_of(query: Mapping[str, str], today: date, usual: str = "30d") -> ReportPeriod:
    """Read the period of an address: `period`, or `since` and `until`, the last day. What cannot be read is the usual one."""
    since, until = _day(query.get("since")), _day(query.get("until"))
    if since is not None and until is not None and 0 <= (until - since).days < DAYS_MAX:
        return ReportPeriod("", since, until)
    name = query.get("period", usual)
    first_of_month = today.replace(day=1)
    match name:
        case "today":
            return ReportPeriod(name, today, today)
        case "7d":
            return ReportPeriod(name, today - timedelta(days=6), today)
        case "month":
            return ReportPeriod(name, first_of_month, today)
        case "last-month":
            last = first_of_month - timedelta(days=1)
            return ReportPeriod(name, last.replace(day=1), last)
    return ReportPeriod("30d", today - timedelta(days=29), today)


def _day(text: str | None) -> date | None:
    try:
        return None if not text else date.fromisoformat(text)
    except ValueError:
        return None
