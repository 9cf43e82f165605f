"""Import of many prices at once, all or none, from a file or the relay."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from app.control.names import quoted
from app.control.prices import PriceEntry, enter_price, starting_ms
from app.core.catalog import Model
from app.core.pricing import PerImage, PerToken, Price
from app.errors import InvalidValue
from app.store import prices as store
from app.store.engine import Database

Names = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class PriceStep:
    """Price that is set. `was` is the amount in force before it for the same names; None without one."""

    wanted: PriceEntry
    was: PerImage | PerToken | None


@dataclass(frozen=True, slots=True)
class PriceImport:
    """Result of an import. `past` counts prices that ended before now and are left out: the past is never recalculated."""

    steps: tuple[PriceStep, ...]
    unchanged: int
    past: int


async def import_prices(
    database: Database, zone: ZoneInfo, entries: Sequence[PriceEntry], *, dry_run: bool = False
) -> PriceImport:
    """Set the prices that are not in the book yet, in one write, which `dry_run` rolls back.

    Of past prices, the latest for each combination of names is set from now on. Raises InvalidValue.
    """
    async with database.write() as connection:
        now_ms = await database.now_ms()
        found = compare(entries, (await store.read_catalog(connection)).models, now_ms, zone)
        for step in found.steps:
            await enter_price(connection, zone, step.wanted, now_ms)
        if dry_run or not found.steps:
            await connection.rollback()
    return found


async def compare_with_book(database: Database, zone: ZoneInfo, entries: Sequence[PriceEntry]) -> PriceImport:
    """Compare entries with the book, and change nothing. Unlike a dry run it does not check that each can be set. Raises
    InvalidValue."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        return compare(entries, (await store.read_catalog(connection)).models, now_ms, zone)


def compare(entries: Iterable[PriceEntry], models: Mapping[str, Model], now_ms: int, zone: ZoneInfo) -> PriceImport:
    """Compare entries with the book. Raises InvalidValue for two prices with the same names and start."""
    by_names: dict[Names, dict[int, PriceEntry]] = defaultdict(dict)
    for entry in entries:
        starts_ms = now_ms if entry.starts is None else starting_ms(entry.starts, zone)
        same = by_names[entry.model, entry.operation, entry.size, entry.quality]
        if starts_ms in same:
            raise InvalidValue(
                f"There are two prices of {quoted(entry.model)} for the same case and start.", param="from"
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
    """Return the prices the book lacks: now by the amount in force, later by a row with the same start."""
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
    return [row for row in rows if row.until_ms is None and (row.model, row.operation, row.size, row.quality) == names]


def _in_force(rows: Sequence[Price], at_ms: int) -> Price | None:
    begun = [row for row in rows if row.from_ms <= at_ms]
    return max(begun, key=lambda row: (row.from_ms, row.id), default=None)
