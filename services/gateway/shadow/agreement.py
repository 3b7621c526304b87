"""Agreement of two versions of a model on one image: one record for every kind of predictions.

The answer of the primary version takes the place of the ground truth, and that of the shadow is compared with it, with
the matching of feedback. Classes are compared by name, since their ids may differ between versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.entries import Kind
from models.geometry.boxes import with_sizes
from models.metrics.confusion import confusion_matrix
from models.metrics.ratios import share
from models.metrics.semantic import Overlap, image_iou
from services.gateway.accuracy.feedback_metrics import class_map_of, judge_class, judge_objects, mask_of
from services.gateway.accuracy.ground_truth import IGNORED, TrueClass, TrueObjects
from services.gateway.accuracy.pose_feedback import judge_poses, poses_as_truth
from services.gateway.serving.offload import NO_LIMIT, TimeLimit
from services.kinds.detection import BOX_MEMBERS

AGREE_FROM: Final = 0.75
"""Two answers agree where every figure is at least this."""

Answer = Mapping[str, Any]
"""As `services.answers.wire.describe_prediction` writes it."""

Agreement = Callable[[Answer, Answer, Sequence[str], TimeLimit], dict[str, float]]
"""Takes the answers of primary and shadow, the class names of the shadow, and a time limit. Returns figures by name,
shares from 0 to 1; NaN where there is nothing to compare. Raises `OutOfTime`."""


def agree(figures: Mapping[str, float]) -> bool:
    """Whether two answers with these figures agree; figures that are NaN do not count."""
    return all(math.isnan(value) or value >= AGREE_FROM for value in figures.values())


def class_agreement(primary: Answer, shadow: Answer, names: Sequence[str], _: TimeLimit = NO_LIMIT) -> dict[str, float]:
    """`top1`: 1 where both have the same best class, else 0."""
    best = primary["predictions"][0]["class_name"]
    return {"top1": float(judge_class(shadow, TrueClass(_ids_of(best, names)))["right"])}


def box_agreement(
    primary: Answer, shadow: Answer, names: Sequence[str], limit: TimeLimit = NO_LIMIT
) -> dict[str, float]:
    """`box_iou`, the mean IoU of the matched boxes, and `matched`, the share of the boxes that have a match.

    Boxes of one class match greedily, those of the shadow by descending score, each with the unmatched box of the
    primary with the highest IoU, if that is at least 0.5. `matched` is twice the matches over the boxes of both: the F1
    score of the shadow, were the boxes of the primary the ground truth.

    Returns:
        NaN for `box_iou` without a match, and for both where neither version has a box.
    """
    return _object_agreement(primary, shadow, names, limit, "box_iou", has_masks=False)


def mask_agreement(
    primary: Answer, shadow: Answer, names: Sequence[str], limit: TimeLimit = NO_LIMIT
) -> dict[str, float]:
    """`mask_iou` and `matched`: as `box_agreement`, by the masks of objects."""
    return _object_agreement(primary, shadow, names, limit, "mask_iou", has_masks=True)


def region_agreement(
    primary: Answer, shadow: Answer, names: Sequence[str], limit: TimeLimit = NO_LIMIT
) -> dict[str, float]:
    """`mask_iou`: the mean over the classes, without the background, that one of the two versions has in the image, of
    the IoU of their pixels; 1 where neither has any (`models.metrics.semantic.image_iou`)."""
    size = (primary["image"]["height"], primary["image"]["width"])
    limit.check()
    targets = _with_ids_of(names, class_map_of(primary, size), primary)
    limit.check()
    pixels = confusion_matrix(targets, class_map_of(shadow, size), len(names), IGNORED)
    return {"mask_iou": float(image_iou(Overlap.of(pixels[None]))[0])}


def pose_agreement(
    primary: Answer, shadow: Answer, names: Sequence[str], limit: TimeLimit = NO_LIMIT, *, sigmas: Sequence[float]
) -> dict[str, float]:
    """`oks`, the mean OKS of the matched objects, and `matched`: as `box_agreement`, by key points.

    Two versions with other numbers of key points agree in nothing. `sigmas` are those of the shadow's skeleton.
    """
    rows: Sequence[Mapping[str, Any]] = primary["predictions"]
    found: Sequence[Mapping[str, Any]] = shadow["predictions"]
    if any(len(row["keypoints"]) != len(sigmas) for row in (*rows, *found)):
        return {"oks": 0.0, "matched": 0.0}
    truth = poses_as_truth(primary, [_ids_of(row["class_name"], names) for row in rows], tuple(sigmas))
    counts = judge_poses(shadow, truth, None, len(names), limit)
    figures = share(
        np.array([counts["similarity"], 2 * counts["matched"]]),
        np.array([counts["matched"], len(found) + len(rows)], np.float64),
    )
    return dict(zip(("oks", "matched"), figures.tolist(), strict=True))


def _object_agreement(
    primary: Answer, shadow: Answer, names: Sequence[str], limit: TimeLimit, iou: str, *, has_masks: bool
) -> dict[str, float]:
    rows: Sequence[Mapping[str, Any]] = primary["predictions"]
    size = (primary["image"]["height"], primary["image"]["width"])
    truth = TrueObjects(
        tuple(_ids_of(row["class_name"], names) for row in rows),
        np.zeros(len(rows), bool),
        with_sizes([[row["box"][member] for member in BOX_MEMBERS] for row in rows]),
        tuple(mask_of(row["mask"], size) for row in rows) if has_masks else None,
    )
    counts = judge_objects(shadow, truth, None, len(names), limit)
    figures = share(
        np.array([counts["overlap"], 2 * counts["matched"]]),
        np.array([counts["matched"], len(shadow["predictions"]) + len(rows)], np.float64),
    )
    return dict(zip((iou, "matched"), figures.tolist(), strict=True))


def _ids_of(name: str, names: Sequence[str]) -> frozenset[int]:
    """Ids of the classes with this name; none in a version that lacks it."""
    return frozenset(class_id for class_id, known in enumerate(names) if known == name)


def _with_ids_of(names: Sequence[str], class_map: NDArray[np.uint8], answer: Answer) -> NDArray[np.uint8]:
    """Renumbers a class map; a class without its name among `names` becomes background."""
    ids = np.zeros(256, np.uint8)
    for row in answer["predictions"]:
        ids[row["class_id"]] = min(_ids_of(row["class_name"], names), default=0)
    return ids[class_map]


def agreement_of(kind: Kind, entry: Mapping[str, Any]) -> Agreement:
    """The agreement of a kind.

    Args:
        kind: Of both versions.
        entry: The catalog entry of the shadow, as JSON.
    """
    return partial(pose_agreement, sigmas=entry["skeleton"]["sigmas"]) if kind == "keypoints" else _AGREEMENTS[kind]


_AGREEMENTS: Final[dict[Kind, Agreement]] = {
    "classification": class_agreement,
    "detection": box_agreement,
    "instance": mask_agreement,
    "semantic": region_agreement,
}
