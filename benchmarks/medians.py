"""Figures from measurements: medians, spread of the rounds, and ratios taken within a round."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rounds import Measurement

REFERENCES = ("direct", "nginx")


@dataclass(frozen=True, slots=True)
class Row:
    """One target in one scenario: the median of its rounds, how far they lie apart (half the range, as a share), and ratios.

    `ratios` is by name of the reference, each taken within a round before its median.
    """

    target: str
    figures: dict[str, float]
    spread: dict[str, float]
    ratios: dict[str, dict[str, float]]
    sent: int
    good: int
    failed: dict[str, int]
    books: str | None


def rows(found: Sequence[Measurement], references: Sequence[str] = REFERENCES) -> list[Row]:
    """One for each target, in the order they came. `added_ms` is the latency above that of `direct` in the same round."""
    targets = list(dict.fromkeys(one.target for one in found if one.round == 0))
    return [_row(target, found, references) for target in targets]


def _row(target: str, found: Sequence[Measurement], references: Sequence[str]) -> Row:
    own = [one for one in found if one.target == target]
    by_round = [_with_added(one, found) for one in own]
    names = by_round[0].keys()
    median = {name: statistics.median(figures[name] for figures in by_round) for name in names}
    spread = {name: _half_range([figures[name] for figures in by_round]) for name in names}
    ratios = {
        other: {name: ratio for name in ("cpu_ms", "rps", "p50_ms") if (ratio := _ratio(own, found, other, name))}
        for other in references
        if other != target
    }
    failed = sum((Counter(one.tally.failed) for one in own), Counter[str]())
    wrong = None if own[0].books is None else "; ".join(dict.fromkeys(one.books for one in own if one.books))
    return Row(
        target, median, spread, {other: found for other, found in ratios.items() if found},
        sum(one.tally.sent for one in own), sum(one.tally.good for one in own), dict(failed), wrong,
    )  # fmt: skip


def _with_added(one: Measurement, found: Sequence[Measurement]) -> dict[str, float]:
    direct = [other for other in found if other.target == "direct" and other.round == one.round]
    if not direct or one.target == "direct":
        return one.figures
    return one.figures | {"added_ms": one.figures["p50_ms"] - direct[0].figures["p50_ms"]}


def _ratio(own: Sequence[Measurement], found: Sequence[Measurement], other: str, name: str) -> float | None:
    theirs = {one.round: one.figures.get(name) for one in found if one.target == other}
    ratios = [one.figures[name] / base for one in own if name in one.figures and (base := theirs.get(one.round))]
    return statistics.median(ratios) if ratios else None


def _half_range(values: list[float]) -> float:
    middle = statistics.median(values)
    return (max(values) - min(values)) / 2 / abs(middle) if middle else 0.0
