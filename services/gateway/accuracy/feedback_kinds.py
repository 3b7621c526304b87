"""How feedback is read, compared with an answer and turned into figures: one record for every kind of predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.entries import Kind
from models.metrics.ratios import share
from models.metrics.semantic import Overlap, semantic_figures
from services.gateway.accuracy.feedback_metrics import Counts, judge_class, judge_objects, judge_regions
from services.gateway.accuracy.ground_truth import read_boxes, read_class, read_objects, read_regions
from services.gateway.accuracy.pose_feedback import judge_poses, read_poses
from services.gateway.serving.offload import TimeLimit


@dataclass(frozen=True, slots=True)
class FeedbackKind:
    """Everything that feedback knows about one kind.

    Attributes:
        read: Checks the ground truth of a request. Takes the target as it was sent, the catalog entry of the model with
            its class names, the (height, width) of the upright image in pixels, and the time limit; raises
            `InvalidParameters` or `OutOfTime`.
        judge: Compares an answer with the ground truth that `read` returned. Takes both, the class ids that were
            requested or None for all, the number of classes of the model, and the time limit; raises `OutOfTime`.
        compute: Computes figures by name from the counts that `judge` returned, added up over any number of answers;
            NaN where there is nothing to measure.
        is_count: Whether `judge` returns a count of this name.
        is_quick: Whether `read` and `judge` may run on the event loop.
    """

    read: Callable[[Mapping[str, Any], Mapping[str, Any], tuple[int, int], TimeLimit], Any]
    judge: Callable[[Mapping[str, Any], Any, Sequence[int] | None, int, TimeLimit], Counts]
    compute: Callable[[Counts], dict[str, float]]
    is_count: Callable[[str], bool]
    is_quick: bool = False


def _class_figures(counts: Counts) -> dict[str, float]:
    """`top1`: the share of answers whose best class is the true one."""
    return _shares(counts, top1=("right", "answers"))


def _object_figures(counts: Counts) -> dict[str, float]:
    """`precision`, `recall` at an IoU of 0.5 and the score threshold of each request, and `mean_iou` of the matched."""
    return _shares(
        counts, precision=("matched", "found"), recall=("matched", "targets"), mean_iou=("overlap", "matched")
    )


def _pose_figures(counts: Counts) -> dict[str, float]:
    """`precision`, `recall` at an OKS of 0.5 and the score threshold of each request, and `mean_oks` of the matched."""
    return _shares(
        counts, precision=("matched", "found"), recall=("matched", "targets"), mean_oks=("similarity", "matched")
    )


def _shares(counts: Counts, **parts: tuple[str, str]) -> dict[str, float]:
    """By name of a figure, which count is divided by which."""
    pairs = np.array([[counts.get(count, 0) for count in pair] for pair in parts.values()], np.float64)
    return dict(zip(parts, share(pairs[:, 0], pairs[:, 1]).tolist(), strict=True))


def _region_figures(counts: Counts) -> dict[str, float]:
    """`iou` and `miou`: see `models.metrics.semantic.semantic_figures`; the background comes first."""
    others = sorted({name.partition(" ")[2] for name in counts} - {"0"})
    table = [[counts.get(f"{part} {one}", 0) for one in ("0", *others)] for part in ("both", "target", "found")]
    figures = semantic_figures(Overlap(*np.array(table, np.float64)))
    return {name: float(figures[name]) for name in ("iou", "miou")}


_PIXELS: Final = re.compile(r"(both|target|found) \d{1,5}")
"""Counts of pixels of a class."""


def _is_pixel_count(name: str) -> bool:
    return _PIXELS.fullmatch(name) is not None


_is_object_count: Final = frozenset({"matched", "found", "targets", "overlap"}).__contains__

_is_pose_count: Final = frozenset({"matched", "found", "targets", "similarity"}).__contains__

KINDS: Final[dict[Kind, FeedbackKind]] = {
    "classification": FeedbackKind(
        read_class, judge_class, _class_figures, frozenset({"right", "answers"}).__contains__, is_quick=True
    ),
    "detection": FeedbackKind(read_boxes, judge_objects, _object_figures, _is_object_count),
    "keypoints": FeedbackKind(read_poses, judge_poses, _pose_figures, _is_pose_count),
    "instance": FeedbackKind(read_objects, judge_objects, _object_figures, _is_object_count),
    "semantic": FeedbackKind(read_regions, judge_regions, _region_figures, _is_pixel_count),
}
"""The record of every kind."""
