"""Many prices at once, all or none: those of a file or of the relay, compared with the book."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from app.control.names import shown
from app.control.prices import PriceEntry, enter_price, starting_ms
from app.core.catalog import Model
from app.core.pricing import PerImage, PerToken, Price
from app.errors import InvalidValue
from app.store import prices as store
from app.store.engine import Database

Names = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class PriceStep:
    """A price that is set. `was` is what counts for the same names just before it; None: nothing."""

    wanted: PriceEntry
    was: PerImage | PerToken | None


@dataclass(frozen=True, slots=True)
class PriceImport:
    """Result of an import. `past` prices were over before now: the past is never recalculated, so they are left out."""

    steps: tuple[PriceStep, ...]
    unchanged: int
    past: int


class _Undone(Exception):
    """Rolls a trial back."""


async def import_prices(
    database: Database, zone: ZoneInfo, entries: Sequence[PriceEntry], *, dry_run: bool = False
) -> PriceImport:
    """Set those of `entries` that are not in the book yet, in one write; `dry_run` does the same and takes it back.

    Of those whose start is past the latest for each combination of names counts, from now on. Raises InvalidValue.
    """
    found: PriceImport | None = None
    try:
        async with database.write() as connection:
            now_ms = await database.now_ms()
            found = compared(entries, (await store.catalog(connection)).models, now_ms, zone)
            for step in found.steps:
                await enter_price(connection, zone, step.wanted, now_ms)
            if dry_run or not found.steps:
                raise _Undone
    except _Undone:
        pass
    assert found is not None
    return found


def compared(entries: Iterable[PriceEntry], models: Mapping[str, Model], now_ms: int, zone: ZoneInfo) -> PriceImport:
    """Raises InvalidValue, also for two prices of the same names and start."""
    by_names: dict[Names, dict[int, PriceEntry]] = defaultdict(dict)
    for entry in entries:
        starts_ms = now_ms if entry.starts is None else starting_ms(entry.starts, zone)
        same = by_names[entry.model, entry.operation, entry.size, entry.quality]
        if starts_ms in same:
            raise InvalidValue(
                f"There are two prices of {shown(entry.model)} for the same case and start.", param="from"
            )
        same[starts_ms] = entry
    steps: list[PriceStep] = []
    unchanged = past = 0
    for names, wanted in by_names.items():
        started = [starts_ms for starts_ms in wanted if starts_ms <= now_ms]
        past += max(len(started) - 1, 0)
        coming = {starts_ms: entry for starts_ms, entry in wanted.items() if starts_ms > now_ms}
        now = [(now_ms, replace(wanted[max(started)], starts=None))] if started else []
        found = _steps([*now, *sorted(coming.items())], _rows(models, names))
        steps += found
        unchanged += len(now) + len(coming) - len(found)
    return PriceImport(tuple(steps), unchanged, past)


def _steps(wanted: Sequence[tuple[int, PriceEntry]], rows: Sequence[Price]) -> list[PriceStep]:
    """Those that the book does not have: now the amount in force, later a row that begins just then."""
    steps = []
    for number, (starts_ms, entry) in enumerate(wanted):
        before = _in_force(rows, starts_ms)
        begins = entry.starts is None or (before is not None and before.from_ms == starts_ms)
        if not (begins and before is not None and before.amount == entry.amount):
            earlier = wanted[number - 1][1].amount if number else None
            steps.append(PriceStep(entry, earlier or (before.amount if before else None)))
    return steps


def _rows(models: Mapping[str, Model], names: Names) -> list[Price]:
    model = models.get(names[0])
    rows = model.prices.prices if model else ()
    return [row for row in rows if (row.model, row.operation, row.size, row.quality) == names]


def _in_force(rows: Sequence[Price], at_ms: int) -> Price | None:
    begun = [row for row in rows if row.from_ms <= at_ms]
    return max(begun, key=lambda row: (row.from_ms, row.id), default=None)
