"""Tables to print, one for each scenario."""

from collections.abc import Sequence

from benchmarks.medians import Row
from benchmarks.scenarios import Scenario

_TITLES = {
    "rps": "rps",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "added_ms": "added ms",
    "cpu_ms": "CPU ms",
    "peak_mib": "peak MiB",
    "growth_mib": "growth MiB",
    "kib_each": "KiB each",
    "idle_mib": "at rest MiB",
    "start_s": "ready s",
}


def table(scenario: Scenario, found: Sequence[Row]) -> str:
    """Medians of each target; processor time also as a multiple of nginx's."""
    head = ["", *(_TITLES[name] for name in scenario.shows), "x nginx", "good", "books"]
    return aligned([head, *(_cells(scenario, row) for row in found)])


def comparison(scenario: Scenario, found: Sequence[Row]) -> str:
    """Figure by figure: before, after, the change, and how far rounds of one and the same lie apart."""
    before, after = found
    lines = [["", before.target, after.target, "change", "noise"]]
    for name in dict.fromkeys((*scenario.shows, "cpu_ms", "p50_ms")):
        if name in before.figures and (base := before.figures[name]):
            change = after.figures[name] / base - 1
            noise = max(before.spread[name], after.spread[name])
            lines.append(
                [_TITLES[name], _number(base), _number(after.figures[name]), f"{change:+.1%}", f"±{noise:.1%}"]
            )
    lines += [["good", *(f"{row.good} of {row.sent}" for row in found)], ["books", *(_books(row) for row in found)]]
    return aligned(lines)


def _cells(scenario: Scenario, row: Row) -> list[str]:
    figures = [_number(row.figures[name]) if name in row.figures else "" for name in scenario.shows]
    ratio = row.ratios.get("nginx", {}).get("cpu_ms")
    failed = "".join(f", {count} {why}" for why, count in row.failed.items())
    times = f"{ratio:.1f}" if ratio else ""
    return [row.target, *figures, times, f"{row.good} of {row.sent}{failed}", _books(row)]


def _books(row: Row) -> str:
    return "" if row.books is None else row.books or "agree"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def aligned(lines: list[list[str]]) -> str:
    """The first and the last column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*_filled_up(lines), strict=True)]
    return "\n".join(_line(line, widths) for line in _filled_up(lines))


def _filled_up(lines: list[list[str]]) -> list[list[str]]:
    columns = max(map(len, lines))
    return [[*line, *[""] * (columns - len(line))] for line in lines]


def _line(cells: list[str], widths: list[int]) -> str:
    first, *between, last = [
        cell.rjust(width) if 0 < at < len(widths) - 1 else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join([first, *between, last]).rstrip()
