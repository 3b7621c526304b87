"""Draws the dashboards as SVG files, out of what a running Prometheus answers to their queries.

    python -m deploy.grafana.picture --prometheus http://127.0.0.1:9090 --minutes 10 --output docs/images

writes `dashboard-NAME.svg`. Grafana is not needed, and draws the same panels in the same places.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from deploy.grafana.board import Dashboard
from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panels import HEIGHTS, Panel
from deploy.grafana.readings import Prometheus, Series
from deploy.grafana.units import nice_ceiling, with_unit
from models.drawing.palette import COLORS
from services.evaluation.report.axes import Axes, text

_COLUMN: Final = 50
_LINE: Final = 30
"""Pixels of a column and of a line of Grafana's grid."""
_GAP: Final = 8
_POINTS: Final = 80
_LETTER: Final = 6.2
"""Pixels of a letter, about."""

_CARD: Final = (0x18, 0x1B, 0x1F)

_STYLE: Final = """
.ground { fill: #0e1016; } .card { fill: #181b1f; stroke: #2c3235; }
text { fill: #9fa3ad; font: 11px system-ui, "DejaVu Sans", sans-serif; }
.head { fill: #ffffff; font-size: 20px; } .row { fill: #d8d9da; font-size: 14px; }
.name { fill: #d8d9da; font-size: 12.5px; }
.number { font-size: 30px; } .good { fill: #73bf69; } .bad { fill: #f2495c; }
.mid { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: #2c3235; fill: none; } .axis { stroke: #44494e; fill: none; }
.curve { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.limit { stroke: #f2495c; stroke-dasharray: 6 4; fill: none; }
"""


@dataclass(frozen=True)
class Span:
    """The time that a picture shows.

    Attributes:
        start_s: Unix time.
        end_s: Unix time.
        interval: Of rates, such as `1m`.
    """

    start_s: float
    end_s: float
    interval: str

    def read(self, prometheus: Prometheus, panel: Panel) -> list[Series]:
        """The series of a panel; those that ended before the picture does are of no use as a latest number."""
        step_s = max(1.0, (self.end_s - self.start_s) / _POINTS)
        asked = (self.interval, self.start_s, self.end_s, step_s)
        found = [series for query in panel.queries for series in prometheus.over_time(query, *asked)]
        return [one for one in found if panel.kind == "lines" or one.times_s[-1] >= self.end_s - 2 * step_s]


def draw(board: Dashboard, prometheus: Prometheus, span: Span) -> str:
    """A dashboard as an SVG document."""
    parts: list[Markup] = []
    top = 48
    for title, panels in board.rows.items():
        parts.append(text(_GAP, top + 18, title, "row"))
        top += _LINE
        column, height = 0, 0
        for panel in panels:
            if column + panel.width > 24:
                column, height, top = 0, 0, top + height
            own_height = HEIGHTS[panel.kind] * _LINE
            height = max(height, own_height)
            card = _card(panel, span.read(prometheus, panel), span, panel.width * _COLUMN - _GAP, own_height - _GAP)
            parts.append(Markup('<g transform="translate({} {})">').format(column * _COLUMN + _GAP, top) + card + _END)
            column += panel.width
        top += height
    width = 24 * _COLUMN + _GAP
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}">').format(
        width, top + _GAP
    )
    ground = Markup('<style>{}</style><rect class="ground" width="100%" height="100%"/>').format(Markup(_STYLE))
    return head + ground + text(_GAP, 32, board.title, "head") + Markup("").join(parts) + Markup("</svg>\n")


_END: Final = Markup("</g>")


def _card(panel: Panel, series: Sequence[Series], span: Span, width: int, height: int) -> Markup:
    frame = Markup('<rect class="card" width="{}" height="{}" rx="3"/>').format(width, height)
    if not series:
        body = text(width / 2, height / 2, "no data", "mid")
    elif panel.kind == "stat":
        body = _stat(panel, series[0], width, height)
    elif panel.kind == "bars":
        body = _bars(panel, series, width, height)
    else:
        body = _lines(panel, series, span, width, height)
    return frame + text(12, 21, panel.title, "name") + body


def _stat(panel: Panel, series: Series, width: int, height: int) -> Markup:
    value = series.latest
    bad = panel.limit is not None and value >= panel.limit
    return text(width / 2, height / 2 + 20, with_unit(value, panel.unit), f"number mid {'bad' if bad else 'good'}")


def _bars(panel: Panel, series: Sequence[Series], width: int, height: int) -> Markup:
    rows = sorted((one for one in series if math.isfinite(one.latest)), key=lambda one: one.name)
    most = panel.maximum or max((one.latest for one in rows), default=0.0) or 1.0
    room = min(28.0, (height - 40) / max(len(rows), 1))
    names, left = [], 24 + round(_LETTER * max((len(one.name) for one in rows), default=0))
    for number, one in enumerate(rows):
        y = 36 + number * room
        length = (width - left - 80) * min(one.latest / most, 1.0)
        bad = panel.limit is not None and one.latest >= panel.limit
        shape = '<rect class="{}" x="{}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        bar = Markup(shape).format("bad" if bad else "good", left, y, max(length, 1.0), room * 0.7)
        value = text(left + length + 6, round(y + room * 0.35 + 4, 1), with_unit(one.latest, panel.unit), "")
        names.append(text(left - 8, round(y + room * 0.35 + 4, 1), one.name, "end") + bar + value)
    return Markup("").join(names)


def _lines(panel: Panel, series: Sequence[Series], span: Span, width: int, height: int) -> Markup:
    drawn = _stacked(series) if panel.stacked else [(one, one.values) for one in series]
    highest = max((value for _, values in drawn for value in values if math.isfinite(value)), default=0.0)
    if panel.limit is not None and (not highest or panel.limit <= 3 * highest):
        highest = max(highest, panel.limit)
    y_max = panel.maximum or nice_ceiling(highest)
    x_max = span.end_s - span.start_s
    legend, lines = _legend([one.name for one, _ in drawn], width, height)
    axes = Axes(x_max, y_max, width, height, left=58, right=24, top=34, bottom=30 + 18 * lines)
    every_s = max(60, 60 * math.ceil(x_max / 60 / 6))
    x_ticks = [(at, f"{at // 60:g} min") for at in range(0, int(x_max) + 1, every_s)]
    parts = [
        axes.grid(("", ""), x_ticks, [(y_max * part, with_unit(y_max * part, panel.unit)) for part in (0, 0.5, 1)])
    ]
    if panel.limit is not None and panel.limit <= y_max:
        parts.append(Markup('<path class="limit" d="{}"/>').format(axes.line((0, x_max), (panel.limit, panel.limit))))
    for number, (one, values) in reversed(list(enumerate(drawn))):
        times = [at - span.start_s for at in one.times_s]
        if panel.stacked:
            area = axes.line([times[0], *times, times[-1]], [0.0, *values, 0.0])
            parts.append(Markup('<path fill="{}" d="{}"/>').format(_color(number, 0.25), area))
        parts.append(
            Markup('<path class="curve" stroke="{}" d="{}"/>').format(_color(number), axes.line(times, values))
        )
    return Markup("").join([*parts, legend])


def _legend(names: Sequence[str], width: int, height: int) -> tuple[Markup, int]:
    """Names of lines in their colours at the foot of a card, and how many lines of text they take: two at most."""
    places: list[tuple[float, int]] = []
    x, line = 12.0, 0
    for name in names:
        if x + 20 + _LETTER * len(name) > width and x > 12:
            x, line = 12.0, line + 1
        places.append((x, line))
        x += 30 + _LETTER * len(name)
    lines = min(line + 1, 2)
    parts: list[Markup] = []
    for number, ((x, line), name) in enumerate(zip(places, names, strict=True)):
        if line < lines and name:
            foot = height - 10 - 16 * (lines - 1 - line)
            mark = '<path stroke="{}" stroke-width="3" d="M{:.0f} {}h12"/>'
            parts += [Markup(mark).format(_color(number), x, foot - 4), text(round(x + 16), foot, name, "")]
    return Markup("").join(parts), lines


def _color(number: int, share: float = 1.0) -> str:
    """The colour of a line, or so much of it on the ground of a card."""
    mixed = (share * one + (1 - share) * below for one, below in zip(COLORS[number % len(COLORS)], _CARD, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*map(round, mixed))


def _stacked(series: Sequence[Series]) -> list[tuple[Series, list[float]]]:
    """Each series on top of those before it; a number that is missing counts as 0."""
    below: dict[float, float] = {}
    drawn: list[tuple[Series, list[float]]] = []
    for one in series:
        for at, value in zip(one.times_s, one.values, strict=True):
            below[at] = below.get(at, 0.0) + (value if math.isfinite(value) else 0.0)
        drawn.append((one, [below[at] for at in one.times_s]))
    return drawn


def main() -> None:
    """Draw all dashboards."""
    parser = argparse.ArgumentParser(description="Draw the dashboards as SVG files, out of a running Prometheus.")
    parser.add_argument("--prometheus", metavar="URL", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=30, help="how much of the past is shown")
    parser.add_argument("--interval", default="1m", help="of rates; four scrape intervals at least")
    parser.add_argument("--output", type=Path, default=Path("docs/images"), metavar="DIR")
    options = parser.parse_args()
    end_s = time.time()
    span = Span(end_s - 60 * options.minutes, end_s, options.interval)
    prometheus = Prometheus(options.prometheus)
    for board in DASHBOARDS:
        (options.output / f"dashboard-{board.name}.svg").write_text(draw(board, prometheus, span), encoding="utf-8")


if __name__ == "__main__":
    main()
