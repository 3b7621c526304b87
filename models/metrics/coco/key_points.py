"""Object keypoint similarity (OKS) and average precision by it: https://cocodataset.org/#keypoints-eval

OKS takes the place of IoU; matching, precision and recall are those of `models.metrics.coco.matching` and
`models.metrics.coco.ranking`, and the ten figures equal those of pycocotools, which the tests check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.average_precision import detection_limits
from models.metrics.coco.bootstrap import weighted_figures
from models.metrics.coco.image_results import GroundTruth, Predictions
from models.metrics.coco.matches import Matches
from models.metrics.coco.ranking import rank_classes

MAX_POSES: Final = 20
"""The most predictions of an image and a class that count, as in COCO's own evaluation of key points."""

HEADLINES: Final = {
    "oks_ap": "map",
    "oks_ap_50": "map_50",
    "oks_ap_75": "map_75",
    "oks_ap_medium": "map_medium",
    "oks_ap_large": "map_large",
    "oks_ar": "mar_100",
    "oks_ar_50": "mar_50",
    "oks_ar_75": "mar_75",
    "oks_ar_medium": "mar_medium",
    "oks_ar_large": "mar_large",
}
"""The ten numbers of COCO's summary of key points, in its order, and the names of the same figures of boxes."""


def oks(
    targets: GroundTruth,
    predictions: Predictions,
    sigmas: Sequence[float],
    check: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """Computes the object keypoint similarity of every prediction with every target.

    Args:
        targets: M, with key points.
        predictions: N, with key points.
        sigmas: (K,) of the skeleton: each point's standard deviation as a share of the square root of the area.
        check: Called before each target: what it raises ends the computation.

    Returns:
        (N, M) in [0, 1], the mean over the labelled points of exp(-d² / (2 s² (2 σ)²)) with the distance d in pixels
        and the target's area s². Of a target without labelled points, d is the distance to its box, enlarged by its
        size on each side, and the mean is over all points.

    Raises:
        ValueError: There are no key points.
    """
    if targets.key_points is None or predictions.key_points is None:
        raise ValueError("key points are to be measured, but an image has boxes only")
    found, known = predictions.key_points, targets.key_points
    spread = (2 * np.asarray(sigmas, np.float64)) ** 2
    similar = np.zeros((len(found), len(known)))
    for target, (box, area, points) in enumerate(zip(targets.boxes, targets.areas, known, strict=True)):
        check()
        counted = points[:, 2] > 0
        if counted.any():
            apart = found - points[:, :2]
        else:
            counted = np.ones(len(points), bool)
            apart = np.maximum(0, 2 * box[:2] - box[2:] - found) + np.maximum(0, found - (2 * box[2:] - box[:2]))
        likeness = np.exp(-(apart**2).sum(-1) / spread / (area + np.spacing(1)) / 2)
        similar[:, target] = likeness[:, counted].mean(1)
    return similar


def keypoint_areas(predictions: Predictions) -> NDArray[np.float64]:
    """(N,) area in pixels of the rectangle around all key points of each, which COCO's tools take for its area.

    Raises:
        ValueError: There are no key points.
    """
    if predictions.key_points is None:
        raise ValueError("key points are to be measured, but an image has boxes only")
    return np.prod(np.ptp(predictions.key_points, axis=1), axis=-1)


def is_labelled(targets: GroundTruth) -> NDArray[np.bool_]:
    """(M,) whether a target has a labelled key point; others count neither for nor against a model."""
    assert targets.key_points is not None
    return np.asarray((targets.key_points[..., 2] > 0).any(-1))


def oks_figures(matches: Matches, class_ids: Sequence[int], max_detections: int = MAX_POSES) -> dict[str, float]:
    """Computes COCO's summary of key points from matches by OKS.

    Args:
        matches: Of all images, of `models.metrics.coco.matching.match_images` with sigmas.
        class_ids: The evaluated classes.
        max_detections: As in the matching.

    Returns:
        By the names of `HEADLINES`, 0 to 1; NaN where there is no target.
    """
    weights = np.ones((len(matches.image_ids), 1))
    figures = weighted_figures(list(rank_classes(matches, class_ids)), weights, detection_limits(max_detections))
    return {name: float(figures[same][0]) for name, same in HEADLINES.items()}
