"""Draws deploy/grafana-dashboard.json as one SVG from the answers of a Prometheus, to look at it without Grafana.

    .venv/bin/python -m deploy.dashboard --prometheus http://127.0.0.1:9090 --minutes 60 --to dashboard.svg

It draws lines, numbers and tables where the dashboard has them, not as Grafana does: no stacking, no colours by threshold.
"""

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import httpx2

CELL_WIDTH, CELL_HEIGHT, GAP = 66, 34, 6
TITLE, LEGEND = 24, 16
STEPS = 120
COLOURS = ("#3274d9", "#e0752d", "#3f9142", "#c4162a", "#8f3bb8", "#a3781f", "#127f86", "#d64c97")
LEGEND_MAX = len(COLOURS)
"""Most lines of a panel that are drawn: the highest."""
DASHBOARD = Path(__file__).with_name("grafana-dashboard.json")
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """Line of a panel: points of time (Unix seconds) and value, without those that are no number."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Range of time that is drawn, in Unix seconds."""

    start_s: float
    end_s: float
    job: str

    @property
    def step_s(self) -> int:
        return max(1, math.ceil((self.end_s - self.start_s) / STEPS))

    def query(self, expression: str) -> str:
        """Return the query with the dashboard's variables filled in. A rate goes over four scrapes of 15 s at least."""
        return expression.replace("$job", self.job).replace("$__rate_interval", f"{max(60, 4 * self.step_s)}s")


Ask = Callable[[str, TimeRange], list[dict[str, Any]]]
"""Query over a range; returns Prometheus' matrix."""


def asker(url: str) -> Ask:
    """Make a client of the Prometheus at `url`. It raises httpx2.HTTPStatusError for a query that is not taken."""

    def ask(query: str, span: TimeRange) -> list[dict[str, Any]]:
        given = {"query": query, "start": f"{span.start_s:.3f}", "end": f"{span.end_s:.3f}", "step": f"{span.step_s}s"}
        answer = httpx2.get(f"{url}/api/v1/query_range", params=given, trust_env=False, timeout=60).raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    return ask


def draw(dashboard: Mapping[str, Any], ask: Ask, span: TimeRange) -> tuple[str, list[str]]:
    """Draw all panels. Returns the SVG, and the titles of those that Prometheus has no numbers for."""
    shapes, empty = list[str](), list[str]()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y = place["x"] * CELL_WIDTH, place["y"] * CELL_HEIGHT
        width, height = place["w"] * CELL_WIDTH - GAP, place["h"] * CELL_HEIGHT - GAP
        shapes.append(f'<g transform="translate({x},{y})">')
        if panel["type"] == "row":
            shapes.append(text(0, TITLE - 4, panel["title"], 15, "bold"))
        else:
            series = [each for target in panel["targets"] for each in series_of(target, ask, span)]
            if not any(each.points for each in series):
                empty.append(panel["title"])
            shapes.append(f'<rect width="{width}" height="{height}" fill="#fff" stroke="#ccc"/>')
            shapes.append(text(8, 17, panel["title"], 12, "bold"))
            shapes.extend(drawn(panel, series, span, width, height))
        shapes.append("</g>")
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) * CELL_HEIGHT
    size = f'viewBox="0 0 {24 * CELL_WIDTH} {bottom}" width="{24 * CELL_WIDTH}" height="{bottom}"'
    ground = '<rect width="100%" height="100%" fill="#f4f5f5"/>'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">{ground}'
    return "\n".join([opening, *shapes, "</svg>", ""]), empty


def series_of(target: Mapping[str, Any], ask: Ask, span: TimeRange) -> Iterator[Series]:
    for found in ask(span.query(target["expr"]), span):
        labels, name = found["metric"], target.get("legendFormat", "")
        for label in re.findall(r"{{\s*(\w+)\s*}}", name):
            name = re.sub(rf"{{{{\s*{label}\s*}}}}", labels.get(label, ""), name)
        points = tuple((at_s, float(value)) for at_s, value in found["values"] if math.isfinite(float(value)))
        yield Series(name or ", ".join(labels.values()), points)


def drawn(
    panel: Mapping[str, Any], series: Sequence[Series], span: TimeRange, width: int, height: int
) -> Iterator[str]:
    """Yield the shapes inside a panel."""
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "none")
    full = [each for each in series if each.points]
    if not full:
        yield text(width / 2 - 24, height / 2 + 8, "no data", 13, colour="#c4162a")
    elif panel["type"] == "stat":
        yield text(8, height / 2 + 20, number(full[0].points[-1][1], unit), 26)
    elif panel["type"] == "table":
        for row, each in enumerate(full):
            yield text(8, TITLE + 16 + row * 18, f"{each.name}: {number(each.points[-1][1], unit)}", 12)
    else:
        yield from lines(full, span, unit, width, height)


def lines(series: Sequence[Series], span: TimeRange, unit: str, width: int, height: int) -> Iterator[str]:
    """Yield the lines of a panel over its grid, with the greatest value and a legend below."""
    shown = sorted(series, key=lambda each: -max(value for _, value in each.points))[:LEGEND_MAX]
    rows = min(len(shown), 4)
    left, top, right, bottom = 8.0, TITLE + 14, width - 8, height - 8 - rows * LEGEND
    highest = max(value for each in series for _, value in each.points)
    hidden = f", {len(series) - len(shown)} more lines" if len(series) > len(shown) else ""
    yield text(left, TITLE + 8, number(highest, unit) + hidden, 10, colour="#777")
    for edge in (top, bottom):
        yield f'<path d="M{left} {edge}H{right}" stroke="#ddd"/>'
    for index, each in enumerate(shown):
        colour, path, before_s = COLOURS[index], "", -math.inf
        for at_s, value in each.points:
            x = left + (at_s - span.start_s) / (span.end_s - span.start_s) * (right - left)
            y = bottom - value / (highest or 1.0) * (bottom - top)
            path += f"{'L' if at_s - before_s < 2 * span.step_s else 'M'}{x:.1f} {y:.1f}"
            before_s = at_s
        yield f'<path d="{path}h.1" fill="none" stroke="{colour}" stroke-width="1.5" stroke-linecap="round"/>'
        column, row = divmod(index, rows)
        across = left + column * (right - left) / math.ceil(len(shown) / rows)
        words = f"{each.name[:34]} {number(each.points[-1][1], unit)}"
        yield text(across, bottom + 14 + row * LEGEND, words, 10, colour=colour)


def number(value: float, unit: str) -> str:
    """Show a value in a unit of Grafana's (`s`, `bytes`, `reqps`; others have none)."""
    if unit == "bytes":
        power = min(int(math.log(value, 1024)), 4) if value >= 1 else 0
        return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    if unit == "s" and value >= 120:
        return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
    short = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{short} {unit.replace('reqps', 'req/s')}" if unit in ("s", "reqps") else short


def text(x: float, y: float, words: str, size: int, weight: str = "normal", colour: str = "#222") -> str:
    where = f'x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f"<text {where}>{escape(words)}</text>"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.dashboard", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--job", default="imagegate", help="the job of the gateways in Prometheus")
    parser.add_argument("--minutes", type=float, default=60.0, help="how far back")
    parser.add_argument("--to", type=Path, default=Path("dashboard.svg"), metavar="FILE")
    given = parser.parse_args()
    now_s = time.time()
    span = TimeRange(now_s - given.minutes * 60, now_s, given.job)
    svg, empty = draw(json.loads(DASHBOARD.read_text(encoding="utf-8")), asker(given.prometheus), span)
    given.to.write_text(svg, encoding="utf-8")
    print(f"{given.to}; without data: {', '.join(empty) or 'none'}")


if __name__ == "__main__":
    main()
