"""Accuracy over a sliding window of feedback, under the names that an offline evaluation has for the same figures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.gateway.truths import Kind

FIGURES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "classification": ("top1",),
    "detection": ("precision", "recall", "mean_iou"),
    "instance": ("precision", "recall", "mean_iou"),
    "semantic": ("iou", "miou"),
}
"""What is measured of each kind of answers."""


def figures_of(kind: Kind, judgements: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Figures over judgements, all of them together, so that an image with many objects counts as many times.

    Args:
        kind: Of the answers.
        judgements: As `services.gateway.judging.judge` makes them.

    Returns:
        Shares, 0 to 1, by the names in `FIGURES`; NaN where there is nothing to measure:
        `top1`: answers whose best class is the true one; `precision`: objects found that are there (class and IoU of
        0.5), at the score threshold of each request; `recall`: objects there that were found; `mean_iou`: of those;
        `iou`: mean over the classes that were there or found, without the background, of their pixels in common as a
        share of all their pixels; `miou`: the same with the background.
    """
    if kind == "classification":
        return {"top1": _share(sum(one["right"] for one in judgements), len(judgements))}
    if kind == "semantic":
        return _of_regions(judgements)
    matched, found, targets, overlap = (
        sum(one[member] for one in judgements) for member in ("matched", "found", "targets", "overlap")
    )
    return {
        "precision": _share(matched, found),
        "recall": _share(matched, targets),
        "mean_iou": _share(overlap, matched),
    }


def _of_regions(judgements: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    intersections: defaultdict[str, int] = defaultdict(int)
    unions: defaultdict[str, int] = defaultdict(int)
    for one in judgements:
        for class_id, pixels in one["unions"].items():
            unions[class_id] += pixels
            intersections[class_id] += one["intersections"][class_id]
    shares = {class_id: _share(intersections[class_id], pixels) for class_id, pixels in unions.items()}
    without = [share for class_id, share in shares.items() if class_id != "0"]
    return {"iou": _share(sum(without), len(without)), "miou": _share(sum(shares.values()), len(shares))}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
