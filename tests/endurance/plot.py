"""Plot of a fault run as SVG, readable on light and on dark: calls by outcome, times, memory, descriptors, and the faults."""

import math
from collections.abc import Sequence
from html import escape
from statistics import quantiles

from tests.endurance.calls import OUTCOMES, CallResult
from tests.endurance.samples import Record

WIDTH, LEFT, RIGHT, TOP = 960, 150, 16, 16
PANEL, GAP, TITLE = 120, 26, 18
LANE = 14
BUCKETS_MAX = 180
BUCKET_S_MIN = 5.0
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.axis { stroke: #8c959f; stroke-width: 1 }
.a { fill: #1a7f37; stroke: #1a7f37 } .b { fill: #bf8700; stroke: #bf8700 }
.c { fill: #cf222e; stroke: #cf222e } .d { fill: #8250df; stroke: #8250df }
.ours { fill: #0969da; stroke: #0969da }
polyline { fill: none !important; stroke-width: 1.5 }
rect { stroke: none !important }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .a { fill: #3fb950; stroke: #3fb950 } .b { fill: #d29922; stroke: #d29922 }
  .c { fill: #f85149; stroke: #f85149 } .d { fill: #a371f7; stroke: #a371f7 }
  .ours { fill: #4493f8; stroke: #4493f8 }
}
"""
Points = Sequence[tuple[float, float]]


class _Plot:
    """SVG in the making. `top` is where the next panel begins."""

    def __init__(self, seconds: float):
        self.seconds, self.top, self.parts = seconds, float(TOP), list[str]()

    def x(self, at_s: float) -> float:
        return LEFT + min(max(at_s, 0), self.seconds) / self.seconds * (WIDTH - LEFT - RIGHT)

    def begin(self, title: str, names: Sequence[tuple[str, str]] = ()) -> None:
        """Write a title, and the names of the colours behind it."""
        self.parts.append(f'<text class="title" x="{LEFT}" y="{self.top + 12:.0f}">{escape(title)}</text>')
        x = LEFT + 7.0 * len(title) + 12
        for name, kind in names:
            self.parts.append(f'<rect class="{kind}" x="{x:.0f}" y="{self.top + 3:.0f}" width="10" height="10"/>')
            self.parts.append(f'<text x="{x + 14:.0f}" y="{self.top + 12:.0f}">{escape(name)}</text>')
            x += 30 + 7 * len(name)
        self.top += TITLE

    def lines(self, lines: Sequence[tuple[str, Points]], unit: str) -> None:
        """Draw lines with a common scale that begins at 0."""
        highest = max((value for _, points in lines for _, value in points), default=1.0) or 1.0
        bottom = self.top + PANEL
        self._scale(bottom, highest, unit)
        for kind, points in lines:
            path = " ".join(f"{self.x(at):.1f},{bottom - value / highest * PANEL:.1f}" for at, value in points)
            self.parts.append(f'<polyline class="{kind}" points="{path}"/>')
        self.top = bottom + GAP

    def stacks(self, bars: Sequence[tuple[float, float, Sequence[tuple[str, float]]]], unit: str) -> None:
        """Draw bars of several parts: start, width in seconds, and (colour, value) from below."""
        highest = max((sum(value for _, value in parts) for _, _, parts in bars), default=1.0) or 1.0
        bottom = self.top + PANEL
        self._scale(bottom, highest, unit)
        for at, width_s, parts in bars:
            y, width = bottom, self.x(at + width_s) - self.x(at)
            for kind, value in parts:
                if value:
                    y -= (height := value / highest * PANEL)
                    where = f'x="{self.x(at):.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
                    self.parts.append(f'<rect class="{kind}" {where}/>')
        self.top = bottom + GAP

    def _scale(self, bottom: float, highest: float, unit: str) -> None:
        for share in (0.0, 0.5, 1.0):
            y, value = bottom - share * PANEL, highest * share
            told = f"{value:,.0f}" if highest >= 10 else f"{value:.1f}"
            self.parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{told} {unit}</text>')
        self.parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')


def draw(record: Record, results: Sequence[CallResult]) -> str:
    """Draw the course of a run."""
    seconds = max([1.0, *(sample.at_s for sample in record.samples)])
    plot = _Plot(seconds)
    kinds = dict(zip(OUTCOMES, "abcd", strict=True))
    width_s = max(seconds / BUCKETS_MAX, BUCKET_S_MIN)
    buckets: list[list[CallResult]] = [[] for _ in range(math.ceil(seconds / width_s))]
    for result in results:
        buckets[min(max(int((result.at - record.start) / width_s), 0), len(buckets) - 1)].append(result)
    plot.begin("Calls per second, by outcome", list(kinds.items()))
    plot.stacks([(n * width_s, width_s, _shares(bucket, kinds, width_s)) for n, bucket in enumerate(buckets)], "/s")
    plot.begin("Time of calls that got a picture", [("p50", "a"), ("p95", "d")])
    plot.lines([("a", _quantile(buckets, width_s, 50)), ("d", _quantile(buckets, width_s, 95))], "s")
    plot.begin("Resident memory of the gateway")
    plot.lines([("ours", [(each.at_s, each.rss_bytes / 2**20) for each in record.samples])], "MiB")
    plot.begin("Open descriptors of the gateway")
    plot.lines([("ours", [(each.at_s, each.descriptors) for each in record.samples])], "")
    _draw_marks(plot, record)
    height = plot.top + 8
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    body = "\n".join(plot.parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'


def _draw_marks(plot: _Plot, record: Record) -> None:
    """One lane for each kind of fault, with the minutes below."""
    plot.begin("Faults")
    for name in sorted({mark.name for mark in record.marks}):
        for mark in (mark for mark in record.marks if mark.name == name):
            width = max(plot.x(mark.until_s) - plot.x(mark.at_s), 1.5)
            where = f'x="{plot.x(mark.at_s):.1f}" y="{plot.top + 2:.0f}" width="{width:.1f}" height="{LANE - 4}"'
            plot.parts.append(f'<rect class="c" {where}><title>{escape(name)}, second {mark.at_s:.0f}</title></rect>')
        plot.parts.append(f'<text x="{LEFT - 6}" y="{plot.top + LANE - 3:.0f}" text-anchor="end">{escape(name)}</text>')
        plot.top += LANE
    step = 60 if plot.seconds < 600 else 300
    for at in range(0, int(plot.seconds) + 1, step):
        plot.parts.append(
            f'<text x="{plot.x(at):.0f}" y="{plot.top + 14:.0f}" text-anchor="middle">{at // 60} min</text>'
        )
    plot.top += 18


def _shares(bucket: Sequence[CallResult], kinds: dict[str, str], width_s: float) -> list[tuple[str, float]]:
    return [(kind, sum(each.outcome == name for each in bucket) / width_s) for name, kind in kinds.items()]


def _quantile(buckets: Sequence[Sequence[CallResult]], width_s: float, percent: int) -> list[tuple[float, float]]:
    found = []
    for number, bucket in enumerate(buckets):
        times = [each.seconds for each in bucket if each.outcome == "picture"]
        if len(times) > 1:
            found.append(((number + 0.5) * width_s, quantiles(times, n=100, method="inclusive")[percent - 1]))
    return found
