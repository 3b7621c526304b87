"""Matches predicted objects to targets for the pictures of a report, across classes.

Figures are not computed here (the metrics do that, by COCO's rules, class by class). This is for one image at one score
threshold and one IoU threshold: true positive, wrong class, false positive, or missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.key_points import order_in
from models.datasets.samples import ObjectTarget
from models.drawing.annotations import Annotation
from models.geometry.boxes import with_sizes
from models.metrics.coco.image_results import Predictions
from models.metrics.coco.key_points import oks
from models.metrics.coco.overlap import ious_of
from models.metrics.coco.pairing import NOTHING, Pairs, pair_greedily

IOU_THRESHOLD: Final = 0.5


class Verdict(Enum):
    """The outcome of matching for a prediction or a target."""

    RIGHT = "right"
    OTHER_CLASS = "other class"
    FALSE = "false"
    MISSED = "missed"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Matching:
    """The outcomes of matching for the objects of one image.

    Attributes:
        predictions: Of every prediction: `RIGHT`, `OTHER_CLASS`, `FALSE`, or `IGNORED` where it lies in a crowd.
        targets: Of every target: `RIGHT`, `OTHER_CLASS`, `MISSED`, or `IGNORED` for a crowd.
    """

    predictions: tuple[Verdict, ...]
    targets: tuple[Verdict, ...]


def match(annotations: Sequence[Annotation], target: ObjectTarget, iou_threshold: float = IOU_THRESHOLD) -> Matching:
    """Matches predictions to targets greedily, one to one.

    By descending score, each prediction is matched to the unmatched target of its class with the highest IoU. The
    remaining predictions are then matched to the remaining targets of any class.

    Args:
        annotations: Predictions, best first, each with a box; with masks, where the target has masks.
        target: The ground truth.
        iou_threshold: The least IoU of a match, 0 to 1.

    Returns:
        The outcome of each, in the same order.
    """
    predictions, targets = [Verdict.FALSE] * len(annotations), [Verdict.MISSED] * len(target.class_ids)
    for index in np.flatnonzero(target.crowds).tolist():
        targets[index] = Verdict.IGNORED
    if not annotations or not targets:
        return Matching(tuple(predictions), tuple(targets))
    overlaps = _overlaps(annotations, target)
    same = np.array([annotation.class_id for annotation in annotations])[:, None] == target.class_ids[None]
    overlaps[overlaps < iou_threshold] = 0
    free = np.where(target.crowds, 0.0, overlaps)
    for candidates, verdict in ((free * same, Verdict.RIGHT), (free, Verdict.OTHER_CLASS)):
        _choose(candidates, verdict, predictions, targets)
    in_crowd = (overlaps * same)[:, target.crowds].any(1)
    for index in np.flatnonzero(in_crowd).tolist():
        if predictions[index] is Verdict.FALSE:
            predictions[index] = Verdict.IGNORED
    return Matching(tuple(predictions), tuple(targets))


def _choose(
    overlaps: NDArray[np.float64], verdict: Verdict, predictions: list[Verdict], targets: list[Verdict]
) -> None:
    """Matches the remaining ones; `overlaps` is (predictions, targets), 0 where the two cannot match."""
    left = np.outer([one is Verdict.FALSE for one in predictions], [one is Verdict.MISSED for one in targets])
    rows, columns = np.nonzero(overlaps * left)
    pairs = Pairs(rows, columns, overlaps[rows, columns])
    pairs = pairs.only(np.lexsort((columns, -pairs.ious, rows)))
    none = np.zeros(len(targets), np.bool_)
    choice = pair_greedily(pairs, np.arange(len(predictions)), np.zeros(1), none[:, None], none)[:, 0, 0]
    for row in np.flatnonzero(choice != NOTHING).tolist():
        predictions[row] = targets[choice[row]] = verdict


def _overlaps(annotations: Sequence[Annotation], target: ObjectTarget) -> NDArray[np.float64]:
    """(predictions, targets) IoU, or of poses OKS; with a crowd, the share of the prediction in it, as COCO counts."""
    poses = [annotation.pose for annotation in annotations if annotation.pose is not None]
    if target.key_points is not None and target.skeleton is not None and len(poses) == len(annotations):
        order = order_in(poses[0].names, target.skeleton)
        points = np.array([[pose.points[place] for place in order] for pose in poses], np.float64)
        nothing = np.zeros(len(poses))
        found = Predictions(np.zeros((len(poses), 4)), nothing.astype(np.int64), nothing, None, points)
        return oks(target, found, target.skeleton.sigmas)
    if target.masks is not None and all(annotation.mask is not None for annotation in annotations):
        masks = [annotation.mask.to_coco() for annotation in annotations if annotation.mask is not None]
        return ious_of(masks, [mask.to_coco() for mask in target.masks], target.crowds)
    boxes = with_sizes(np.array([annotation.box for annotation in annotations], np.float64))
    return ious_of(boxes, with_sizes(target.boxes), target.crowds)
