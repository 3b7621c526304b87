"""The charts of open-loop runs, as SVG files: latency against rate, and an overload second by second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

from loadtests.point import Point, Verdict
from services.evaluation.report.axes import Axes, Ticks, picture, text

MOST_MS: Final = 10_000.0
"""Top of the axis of latencies, which is logarithmic and begins at 1 ms."""

_COLOURS: Final = ("#0a6fb0", "#c9540a", "#a87a00", "#5c636d")
_STYLE: Final = Markup(
    "<style>text{font:11px system-ui,sans-serif;fill:#5c636d}.title{font-size:12px}.mid{text-anchor:middle}"
    ".end{text-anchor:end}.grid{stroke:#e2dfd8;fill:none}.axis{stroke:#5c636d;fill:none}.bound{stroke:#1d2127;"
    "stroke-dasharray:3 3;fill:none}.curve{fill:none;stroke-width:2.2;stroke-linejoin:round}"
    ".note{font-weight:600}</style>"
)
_WIDTH, _HEIGHT = 560, 340


def latency_chart(curves: Mapping[str, Sequence[Point]], bound_ms: float, title: str) -> str:
    """p99 against rate: one curve for each system, void points left out.

    Args:
        curves: Points by the system's name, in any order.
        bound_ms: Is drawn as a dashed line.
        title: What is shown, for who cannot see it.
    """
    most = max((point.rate for points in curves.values() for point in points if _drawn(point)), default=1.0)
    axes = Axes(x_max=most * 1.05, y_max=math.log10(MOST_MS), width=_WIDTH, height=_HEIGHT, left=60)
    ticks = [(math.log10(value), f"{value:g}") for value in (1, 10, 100, 1000, 10_000)]
    parts: list[str] = [
        axes.grid(("requests a second", "p99 from when it was due, ms"), _round_ticks(axes.x_max), ticks),
        f'<path class="bound" d="{axes.line((0, axes.x_max), (math.log10(bound_ms),) * 2)}"/>',
        text(axes.x(axes.x_max), axes.y(math.log10(bound_ms)) - 5, f"bound {bound_ms:g} ms", "end"),
    ]
    for number, (name, points) in enumerate(curves.items()):
        by_rate = {point.rate: point.p99_ms for point in points if _drawn(point)}
        rates = sorted(by_rate)
        heights = [math.log10(max(by_rate[rate], 1.0)) for rate in rates]
        parts += _curve(axes, number, name, rates, heights)
    return _file(axes, title, parts)


def overload_chart(seconds: Sequence[float], curves: Mapping[str, Sequence[float]], title: str) -> str:
    """Requests a second over the seconds of a run: one curve for each outcome.

    Args:
        seconds: Middle of each bin.
        curves: Requests a second in each bin, by name.
        title: What is shown, for who cannot see it.
    """
    most = max((value for values in curves.values() for value in values), default=1.0)
    axes = Axes(x_max=max(seconds, default=1.0), y_max=most * 1.1, width=_WIDTH, height=_HEIGHT, left=60)
    parts: list[str] = [axes.grid(("seconds", "requests a second"), _round_ticks(axes.x_max), _round_ticks(axes.y_max))]
    for number, (name, values) in enumerate(curves.items()):
        parts += _curve(axes, number, name, list(seconds), list(values))
    return _file(axes, title, parts)


def _drawn(point: Point) -> bool:
    return point.verdict is not Verdict.VOID and math.isfinite(point.p99_ms)


def _curve(axes: Axes, number: int, name: str, xs: Sequence[float], ys: Sequence[float]) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    dots = [
        f'<circle cx="{axes.x(x):g}" cy="{axes.y(y):g}" r="2.5" fill="{colour}"/>' for x, y in zip(xs, ys, strict=True)
    ]
    legend = axes.left + 8, axes.top + 14 + 16 * number
    return [
        f'<path class="curve" stroke="{colour}" d="{axes.line(xs, ys)}"/>',
        *dots,
        f'<path class="curve" stroke="{colour}" d="M{legend[0]} {legend[1] - 4}h18"/>',
        text(legend[0] + 24, legend[1], name, "note"),
    ]


def _round_ticks(most: float) -> Ticks:
    """At most six ticks from 0, at multiples of 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return [(0.0, "0")]
    power = 10.0 ** math.floor(math.log10(most / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if most / (power * factor) <= 5)
    return [(step * number, f"{step * number:g}") for number in range(int(most / step) + 1)]


def _file(axes: Axes, title: str, parts: Sequence[str]) -> str:
    frame = Markup('<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}">').format(
        axes.width, axes.height
    )
    paper = Markup('<rect width="{}" height="{}" fill="#fcfbf8"/>').format(axes.width, axes.height)
    return str(frame + _STYLE + paper + picture(axes, title, parts) + Markup("</svg>\n"))
