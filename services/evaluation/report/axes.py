"""Axes of an SVG chart: coordinate mapping, grid, ticks and titles.

Colours, letters and line widths are the style sheet's, by class name, so that a chart follows the page into the dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

TENTHS: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Axes:
    """The coordinate system of a chart; the default width is that of a phone, so that letters stay legible there.

    Attributes:
        x_max: Number at the right end; the left end is 0.
        y_max: Number at the upper end; the lower end is 0.
        width: Of the whole picture.
        height: Of the whole picture.
        left: Room for the titles and ticks of the y axis.
        right: Room that stays free.
        top: Room that stays free.
        bottom: Room for the ticks and the title of the x axis.
    """

    x_max: float = 1.0
    y_max: float = 1.0
    width: int = 440
    height: int = 330
    left: int = 48
    right: int = 14
    top: int = 12
    bottom: int = 44

    def x(self, value: float) -> float:
        """x coordinate of a number, clamped to the axis."""
        part = min(max(value / self.x_max, 0.0), 1.0) if self.x_max else 0.0
        return round(self.left + part * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        """y coordinate of a number, clamped to the axis."""
        part = min(max(value / self.y_max, 0.0), 1.0) if self.y_max else 0.0
        return round(self.height - self.bottom - part * (self.height - self.top - self.bottom), 1)

    def line(self, xs: Sequence[float | None], ys: Sequence[float | None]) -> str:
        """The path through points; it is broken where a number is None or not finite."""
        words: list[str] = []
        drawing = False
        for x, y in zip(xs, ys, strict=True):
            if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
                drawing = False
                continue
            words.append(f"{'L' if drawing else 'M'}{self.x(x):g} {self.y(y):g}")
            drawing = True
        return "".join(words)

    def grid(self, titles: tuple[str, str], x_ticks: Ticks, y_ticks: Ticks) -> Markup:
        """Lines, ticks and titles.

        Args:
            titles: Of the x and the y axis.
            x_ticks: Numbers on the x axis with their texts.
            y_ticks: The same on the y axis.
        """
        left, foot, end = self.left, self.height - self.bottom, self.width - self.right
        parts = [
            *(f'<path class="grid" d="M{left} {self.y(at):g}H{end}"/>' for at, _ in y_ticks),
            *(f'<path class="grid" d="M{self.x(at):g} {self.top}V{foot}"/>' for at, _ in x_ticks),
            *(text(self.x(at), foot + 16, words, "tick mid") for at, words in x_ticks),
            *(text(left - 7, self.y(at) + 4, words, "tick end") for at, words in y_ticks),
            f'<path class="axis" d="M{left} {self.top}V{foot}H{end}"/>',
            text((left + end) / 2, self.height - 6, titles[0], "title mid"),
            f'<g transform="translate(13 {(self.top + foot) / 2:g}) rotate(-90)">',
            text(0, 0, titles[1], "title mid"),
            "</g>",
        ]
        return Markup("".join(parts))


Ticks = Sequence[tuple[float, str]]


def shares_ticks(step: Sequence[float] = TENTHS) -> Ticks:
    """Ticks of an axis from 0 to 1."""
    return [(value, f"{value:.1f}") for value in step]


def text(x: float, y: float, words: str, style: str) -> Markup:
    """An SVG text element; its content is escaped."""
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(style, f"{x:g}", f"{y:g}", words)


def picture(axes: Axes, title: str, parts: Sequence[str]) -> Markup:
    """Assembles the SVG of a chart.

    Args:
        axes: Its frame.
        title: Accessible title (for screen readers).
        parts: SVG, escaped already.
    """
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        axes.width, axes.height, title
    )
    return head + Markup("".join(parts) + "</svg>")


def hint(words: str) -> Markup:
    """The tooltip of an SVG element."""
    return Markup("<title>") + escape(words) + Markup("</title>")
