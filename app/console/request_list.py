"""Lists of requests for whoever is signed in: the question in the address, and the search that answers it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from app.console.periods import ReportPeriod, period_of
from app.console.visit import Visit
from app.control.dates import start_of_day_ms
from app.control.requests import ListedRequest, listed, search_requests
from app.core.money import micros
from app.store import organization
from app.store.request_search import Outcome, Position, RequestSearch

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
FILTERS = ("outcome", "person", "user", "project", "model", "code", "key", "size", "quality", "cost", "seconds", "q")
"""Parameters of the address. `user` is an id, `person` part of a name; `cost` and `seconds` are least values."""
NAMED = ("user", "key", "size", "quality")
"""Filters that only links set, and that the page shows as badges."""
NONE = "-"
"""Value of `size` and `quality` for requests without one."""
PEOPLE_MAX = 50
WORDS_MAX = 10
SECONDS_MAX = 86_400


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Page of a list. `following` is the address's `after` of the next one, None at the end; `is_full` is False where fewer were
    found than a page holds."""

    rows: list[ListedRequest]
    following: str | None
    is_full: bool


@dataclass(frozen=True, slots=True)
class RequestQuestion:
    """Question in the address: filters by name, and days, None for all time."""

    visit: Visit
    only: dict[str, str]
    period: ReportPeriod | None

    @classmethod
    def of(cls, visit: Visit) -> "RequestQuestion":
        """Read the question of an address. What cannot be read is left out."""
        given = {name: visit.query.get(name, "").strip()[:200] for name in FILTERS}
        if given["outcome"] not in OUTCOMES:
            given["outcome"] = ""
        if not visit.sees_all:
            given |= {"person": "", "user": ""}
        has_period = any(visit.query.get(name) for name in ("period", "since", "until"))
        gateway = visit.parts.gateway
        today = datetime.fromtimestamp(gateway.clock.now_ms() / 1000, UTC).astimezone(gateway.zone).date()
        since, until = visit.query.get("since"), visit.query.get("until")
        # One end of the days only: from there until today, or that day.
        days = {"since": since or until or "", "until": until or today.isoformat() if since or until else ""}
        period = period_of({**visit.query, **days}, today) if has_period else None
        return cls(visit, {name: value for name, value in given.items() if value}, period)

    @property
    def is_filtered(self) -> bool:
        return bool(self.only or self.period)

    @property
    def has_more_filters(self) -> bool:
        """True where a filter is in use that the page hides at first."""
        return any(name in self.only for name in ("project", "code", "cost", "seconds"))

    def get(self, name: str) -> str:
        """Return the value of a filter; empty without one."""
        return self.only.get(name, "")

    def query(self, **more: str | None) -> dict[str, str | None]:
        """Return the parameters of the address, with some replaced; None removes one."""
        period = {} if self.period is None else self.period.query
        return {**period, **self.only, **more}

    async def page(self, after: str | None, limit: int) -> RequestPage:
        """Read a page. Raises StoreUnavailable."""
        database, wanted = self.visit.database, await self._search()
        found = await search_requests(database, wanted, _position(after), limit, self.visit.user.user_id)
        at = found.following
        following = None if at is None else f"{at.at_ms}.{at.id}"
        rows = await listed(database, found.records, self.visit.user.user_id)
        return RequestPage(rows, following, len(found.records) == limit)

    async def _search(self) -> RequestSearch:
        only, (since_ms, until_ms) = self.only, self._bounds_ms()
        outcome = next((each for each in OUTCOMES if each == only.get("outcome")), None)
        return RequestSearch(
            user_ids=await self._user_ids(),
            project_id=only.get("project"),
            api_key_id=only.get("key"),
            model=only.get("model"),
            size=_or_none(only.get("size")),
            quality=_or_none(only.get("quality")),
            error_code=only.get("code"),
            outcome=outcome,
            cost_min_micros=_amount_micros(only.get("cost")),
            total_min_ms=_seconds_ms(only.get("seconds")),
            words=tuple(only.get("q", "").split()[:WORDS_MAX]),
            since_ms=since_ms,
            until_ms=until_ms,
        )

    async def _user_ids(self) -> tuple[str, ...] | None:
        """Return whose requests: a member's are their own, whatever the address says."""
        if not self.visit.sees_all:
            return (self.visit.user.user_id,)
        if "user" in self.only:
            return (self.only["user"],)
        if "person" not in self.only:
            return None
        async with self.visit.database.read() as connection:
            return tuple(await organization.user_ids_like(connection, self.only["person"], PEOPLE_MAX))

    def _bounds_ms(self) -> tuple[int | None, int | None]:
        if self.period is None:
            return None, None
        zone, period = self.visit.parts.gateway.zone, self.period
        return start_of_day_ms(period.since, "since", zone), start_of_day_ms(period.until, "until", zone)


def _or_none(text: str | None) -> str | None:
    return "" if text == NONE else text


def _amount_micros(text: str | None) -> int | None:
    try:
        return None if text is None else micros(text)
    except ValueError:
        return None


def _seconds_ms(text: str | None) -> int | None:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 6
    return min(int(text or ""), SECONDS_MAX) * 1000 if is_number else None


def _position(after: str | None) -> Position | None:
    """Read the place to go on from. What cannot be read is the beginning."""
    at_ms, _, id = (after or "").partition(".")
    is_number = at_ms.isascii() and at_ms.isdigit() and len(at_ms) < 16
    return Position(int(at_ms), id[:200]) if is_number and id else None
