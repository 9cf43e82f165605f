"""The plot for the README: bars as SVG by hand, readable on light and on dark."""

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.medians import Row
from benchmarks.scenarios import Scenario

PLOTTED = (
    ("small64", "cpu_ms", "Processor time per request, small answers, 64 at once", "ms"),
    ("b64", "cpu_ms", "Processor time per image of 2 MiB as base64", "ms"),
    ("edit", "cpu_ms", "Processor time per edit of 4 x 2.5 MB", "ms"),
    ("small1", "added_ms", "Latency added to a request on its own (p50)", "ms"),
    ("drip", "growth_mib", "Memory for 100 answers of 8 MiB at once", "MiB"),
    ("wait", "growth_mib", "Memory for 1,000 requests in flight", "MiB"),
)
"""Scenario, figure, title, unit; what was not measured is left out."""
WIDTH, MARGIN, LABELS, NUMBERS = 720, 16, 220, 70
TITLE_HEIGHT, BAR_HEIGHT, PANEL_GAP = 30, 22, 14
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.bar { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 }
  .ours { fill: #4493f8 }
}
"""


def draw(found: Mapping[Scenario, Sequence[Row]]) -> str:
    """One panel for each figure of PLOTTED that was measured. Shorter bars are better in all of them."""
    by_name = {scenario.name: rows for scenario, rows in found.items()}
    parts, top = [], MARGIN
    for name, figure, title, unit in PLOTTED:
        bars = [(row.target, row.figures[figure]) for row in by_name.get(name, ()) if figure in row.figures]
        if bars:
            parts.append(_panel(top, f"{title}, {unit}", bars))
            top += TITLE_HEIGHT + BAR_HEIGHT * len(bars) + PANEL_GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
    return f'{head} role="img">\n<style>{_STYLE}</style>\n{"".join(parts)}</svg>\n'


def _panel(top: int, title: str, bars: Sequence[tuple[str, float]]) -> str:
    longest = max(max(value for _, value in bars), 1e-9)
    lines = [f'<text class="title" x="{MARGIN}" y="{top + 14}">{escape(title)}</text>']
    for number, (target, value) in enumerate(bars):
        lines += _bar(top + TITLE_HEIGHT + number * BAR_HEIGHT, target, value, value / longest)
    return "\n".join(lines) + "\n"


def _bar(y: int, target: str, value: float, share: float) -> list[str]:
    left = MARGIN + LABELS
    width = max(1.0, share * (WIDTH - left - NUMBERS - MARGIN))
    kind = "bar" if target == "nginx" else "bar ours"
    return [
        f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{escape(target)}</text>',
        f'<rect class="{kind}" x="{left}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT - 7}" rx="2"/>',
        f'<text x="{left + width + 6:.1f}" y="{y + 11}">{_number(value)}</text>',
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.1f}"
