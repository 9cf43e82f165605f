"""Stacked bars by day, as shapes for an SVG. Nothing here has a style: the page's rules forbid that in SVG."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.control.usage import SERIES_MAX, UsageOverview

HEIGHT = 100.0
WIDTH_SHARE = 0.72
"""Part of a day's width that its bar takes."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a bar: position from the top, height, and which series it is of."""

    series: int
    y: float
    height: float
    value: int


@dataclass(frozen=True, slots=True)
class Bar:
    """Bar of one day. `x` and `width` are in days."""

    day: str
    x: float
    width: float
    total: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars. `names` are the series, the greatest first; an empty last name stands for all others together."""

    names: tuple[str, ...]
    sums: tuple[int, ...]
    bars: tuple[Bar, ...]
    top: int


def stacked(days: Sequence[str], values: Mapping[tuple[str, str], int], rest: Mapping[str, int] | None = None) -> Chart:
    """Make a chart of values by (day, name); `rest` has by day what belongs to no name. Negative sums of a day, which corrections
    can leave, have no bar."""
    by_name: defaultdict[str, int] = defaultdict(int)
    for (_, name), value in values.items():
        by_name[name] += value
    ranked = sorted(by_name, key=lambda name: (-by_name[name], name))
    few = ranked if len(ranked) + bool(rest) <= SERIES_MAX else ranked[: SERIES_MAX - 1]
    has_rest = bool(rest) or len(few) < len(ranked)
    place = {name: few.index(name) if name in few else len(few) for name in ranked}
    cells: dict[str, list[int]] = {day: [0] * (len(few) + has_rest) for day in days}
    for (day, name), value in values.items():
        cells[day][place[name]] += value
    for day, value in (rest or {}).items():
        cells[day][-1] += value
    top = _round_up(max((sum(max(value, 0) for value in row) for row in cells.values()), default=0))
    bars = tuple(_bar(day, at, row, top) for at, (day, row) in enumerate(cells.items()))
    names = (*few, "") if has_rest else tuple(few)
    sums = tuple(sum(row[at] for row in cells.values()) for at in range(len(names)))
    return Chart(names, sums, bars, top)


def daily_chart(days: Sequence[str], found: UsageOverview) -> Chart:
    """Make a chart of usage by local day, with a series for each of the dearest values and one for all others."""
    values: dict[tuple[str, str], int] = defaultdict(int)
    for day, _, parts in found.days:
        for (name, _), micros in zip(found.series, parts, strict=True):
            values[day, name] += micros
    rest = {day: total - sum(parts) for day, total, parts in found.days}
    return stacked(days, values, rest if any(rest.values()) else None)


def _bar(day: str, at: int, row: Sequence[int], top: int) -> Bar:
    segments, y = [], HEIGHT
    for series, value in enumerate(row):
        height = HEIGHT * max(value, 0) / top if top else 0.0
        y -= height
        if height > 0:
            segments.append(Segment(series, round(y, 3), round(height, 3), value))
    return Bar(day, at + (1 - WIDTH_SHARE) / 2, WIDTH_SHARE, sum(row), tuple(segments))


def _round_up(value: int) -> int:
    """Return a round number that is not below a value, for the top of the scale."""
    if value <= 0:
        return 0
    tenth = int("1".ljust(len(str(value)), "0")) // 10 or 1
    return next(step * tenth for step in (10, 12, 16, 20, 24, 30, 40, 50, 60, 80, 100) if step * tenth >= value)
