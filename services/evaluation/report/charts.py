"""Renders the charts of a report as SVG.

Lists may hold None or NaN where there is nothing to draw. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from services.evaluation.numbers import count, finite, share, short_count
from services.evaluation.report.axes import Axes, hint, picture, shares_ticks, text

Numbers = Sequence[float | None]


@dataclass(frozen=True)
class Curve:
    """A precision-recall curve.

    Attributes:
        label: What it is of.
        recall: Ascending, 0 to 1.
        precision: At each of them, 0 to 1.
        style: Class names of the style sheet: `main` and `second` stand out, `faint` ones lie behind, `before` is the
            baseline's; and `c0`, `c1`, … by which the page picks one.
    """

    label: str
    recall: Numbers
    precision: Numbers
    style: str


def precision_recall(curves: Sequence[Curve], title: str) -> Markup:
    """Precision-recall curves; highlighted ones are drawn on top.

    Args:
        curves: Any number.
        title: Accessible title (for screen readers).
    """
    axes = Axes(height=390)
    parts: list[str] = [axes.grid(("Recall", "Precision"), shares_ticks(), shares_ticks())]
    for curve in sorted(curves, key=lambda one: "faint" not in one.style):
        path = axes.line(_numbers(curve.recall), _numbers(curve.precision))
        if path:
            shape = Markup('<path class="curve {}" d="{}">').format(curve.style, path)
            parts.append(shape + hint(curve.label) + Markup("</path>"))
    return picture(axes, title, parts)


_FLAT: Final = 215
"""Height of charts of which two stand beside a square one."""
SPARK: Final = Axes(width=72, height=26, left=1, right=1, top=2, bottom=2)


def sparkline(recall: Numbers, precision: Numbers, label: str) -> Markup:
    """A precision-recall curve as small as a word; of many points every fourth."""
    step = 4 if len(recall) > 40 else 1
    path = SPARK.line(_numbers(recall)[::step], _numbers(precision)[::step])
    if not path:
        return Markup("")
    frame = f'<path class="axis" d="M1 2V{SPARK.height - 2}H{SPARK.width - 1}"/>'
    head = Markup('<svg class="spark" viewBox="0 0 72 26" role="img" aria-label="{}">').format(label)
    return head + Markup(f'{frame}<path class="curve main" d="{path}"/></svg>')


def reliability(edges: Numbers, confidence: Numbers, accuracy: Numbers, counts: Numbers) -> Markup:
    """A reliability diagram: accuracy and gap to confidence by bin, and below a histogram of the images.

    Args:
        edges: (n + 1) of the bins of confidence, 0 to 1.
        confidence: (n) mean in each bin; None in empty ones.
        accuracy: (n) share that is right.
        counts: (n) images.
    """
    axes = Axes(bottom=104, height=390)
    most = max((number for one in counts if (number := finite(one)) is not None), default=0.0)
    below = Axes(top=308, height=390, y_max=most or 1.0)
    parts: list[str] = [
        axes.grid(("", "Accuracy"), [(tick, "") for tick, _ in shares_ticks()], shares_ticks()),
        below.grid(("Confidence", "Images"), shares_ticks(), [(most, short_count(most))] if most else []),
    ]
    for low, high, said, right, images in zip(edges[:-1], edges[1:], confidence, accuracy, counts, strict=True):
        low, high, said, right, images = map(finite, (low, high, said, right, images))
        if low is None or high is None or said is None or right is None or not images:
            continue
        words = f"{count(images)} images at {low:.2f} to {high:.2f}: confidence {share(said)}, accuracy {share(right)}"
        near, far = sorted((said, right))
        parts.append(_bar(axes, (low, high), (0, near), "right", words))
        parts.append(_bar(axes, (low, high), (near, far), "gap", words))
        parts.append(f'<path class="level" d="{axes.line((low, high), (right, right))}"/>')
        parts.append(_bar(below, (low, high), (0, images), "plain", words))
    diagonal = axes.line((0.0, 1.0), (0.0, 1.0))
    parts.append(f'<path class="curve diagonal" d="{diagonal}"/>')
    return picture(axes, "Reliability: accuracy against confidence", parts)


def f1_curve(scores: Numbers, f1: Numbers, best: tuple[Any, Any]) -> Markup:
    """F1 against the score threshold, with the best one marked.

    Args:
        scores: Ascending, 0 to 1.
        f1: At each of them.
        best: The threshold with the highest F1, which may lie between two of these, and that F1.
    """
    axes = Axes(height=_FLAT)
    parts: list[str] = [axes.grid(("Score threshold", "F1"), shares_ticks(), shares_ticks())]
    at, top = map(finite, best)
    pairs = zip([*_numbers(scores), at], [*_numbers(f1), top], strict=True)
    points = sorted((x, y) for x, y in pairs if x is not None and y is not None)
    parts.append(f'<path class="curve main" d="{axes.line([x for x, _ in points], [y for _, y in points])}"/>')
    if at is not None and top is not None:
        x, y = axes.x(at), axes.y(top)
        foot = axes.height - axes.bottom
        words = f"{top:.3f} at {at:.2f}"
        high = y < _FLAT / 4  # then there is no room above the curve
        side = "end" if at > (0.35 if high else 0.6) else "start"
        parts.append(f'<path class="mark" d="M{x:g} {y:g}V{foot}"/><circle class="dot" cx="{x:g}" cy="{y:g}" r="4"/>')
        parts.append(text(x + (-8 if side == "end" else 8), y + 24 if high else y - 9, words, f"note {side}"))
    return picture(axes, "F1 against the score threshold", parts)


def score_histogram(edges: Numbers, true: Numbers, false: Numbers) -> Markup:
    """Histograms of the scores of true and false positives; heights are logarithmic.

    Args:
        edges: (n + 1) of the bins of score, 0 to 1.
        true: (n) predictions that are right.
        false: (n) those that are not.
    """
    most = max((number for one in (*true, *false) if (number := finite(one)) is not None), default=0.0)
    axes = Axes(height=_FLAT, y_max=_log(max(most, 1)))
    ticks = [(_log(10.0**power), short_count(10**power)) for power in range(8) if 10**power <= most]
    parts: list[str] = [axes.grid(("Score", "Predictions"), shares_ticks(), ticks)]
    for low, high, right, wrong in zip(edges[:-1], edges[1:], true, false, strict=True):
        low, high, right, wrong = map(finite, (low, high, right, wrong))
        if low is None or high is None:
            continue
        middle = (low + high) / 2
        words = f"Score {low:.2f} to {high:.2f}: {count(right or 0)} right, {count(wrong or 0)} not"
        if right:
            parts.append(_bar(axes, (low, middle), (0, _log(right)), "right", words))
        if wrong:
            parts.append(_bar(axes, (middle, high), (0, _log(wrong)), "wrong", words))
    return picture(axes, "Scores of right and of wrong predictions", parts)


def _bar(axes: Axes, across: tuple[float, float], up: tuple[float, float], style: str, words: str) -> Markup:
    """A bar between two numbers on each axis, with a hair of room on both sides."""
    x, x_end = axes.x(across[0]) + 1, axes.x(across[1]) - 1
    y, y_end = axes.y(up[1]), axes.y(up[0])
    shape = Markup('<rect class="bar {}" x="{}" y="{}" width="{}" height="{}">').format(
        style, f"{x:g}", f"{y:g}", f"{max(x_end - x, 1):g}", f"{max(y_end - y, 0):g}"
    )
    return shape + hint(words) + Markup("</rect>")


def _log(number: float) -> float:
    """Height of a count: 0 of none."""
    return math.log10(1 + number)


def _numbers(values: Sequence[Any]) -> list[float | None]:
    return [finite(value) for value in values]
