"""Compares a prediction with its ground truth: counts by name, which can be summed over predictions.

They are `right` and `answers` for a class; `matched`, `found`, `targets` and `overlap` for objects; and for regions, in
pixels, `both ID`, `target ID` and `found ID` of every class. `services.gateway.accuracy.feedback_kinds` computes
figures from them.
"""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.geometry.boxes import with_sizes
from models.geometry.masks import Mask
from models.metrics.coco.overlap import ious_of
from models.metrics.coco.pairing import Pairs, pair_greedily
from models.metrics.confusion import confusion_matrix
from models.metrics.semantic import Overlap
from services.client.masks import parse_mask
from services.gateway.accuracy.ground_truth import IGNORED, TrueClass, TrueObjects, TrueRegions
from services.gateway.serving.offload import NO_LIMIT, TimeLimit
from services.kinds.detection import BOX_MEMBERS

IOU_THRESHOLD: Final = 0.5
"""The least IoU or OKS at which a prediction matches a ground-truth object."""

Counts = Mapping[str, float]


def judge_class(answer: Mapping[str, Any], truth: TrueClass, *_: object) -> Counts:
    """Compares the best class of an answer with the true one."""
    best = answer["predictions"][:1]
    return {"right": int(bool(best) and best[0]["class_id"] in truth.class_ids), "answers": 1}


def judge_objects(
    answer: Mapping[str, Any],
    truth: TrueObjects,
    class_ids: Sequence[int] | None,
    classes: int,
    limit: TimeLimit = NO_LIMIT,
) -> Counts:
    """Matches predicted objects with their targets. Masks of large photos take long: never call it on an event loop.

    Greedily by descending score, each to the unmatched target of its class with the highest IoU.

    Args:
        answer: As `services.answers.wire.describe_prediction` writes it.
        truth: The objects of the image.
        class_ids: The requested classes; targets of other classes are ignored. None for all.
        classes: Number of the model's classes.
        limit: Time limit of the request.

    Raises:
        OutOfTime: the time limit has passed, or the client has disconnected.
    """
    predictions: Sequence[Mapping[str, Any]] = answer["predictions"]
    wanted, same_class = compared_classes(predictions, truth.class_ids, class_ids, classes)
    pairs = _pairs_of_masks if truth.masks is not None else _pairs_of_boxes
    pairs = pairs(predictions, truth, same_class, limit)
    return count_matches(pairs, len(predictions), wanted, truth.crowds, truth.crowds, "overlap")


def compared_classes(
    rows: Sequence[Mapping[str, Any]],
    target_classes: Sequence[Collection[int]],
    class_ids: Sequence[int] | None,
    classes: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Says which targets are of a requested class, and which of the class of a prediction.

    Args:
        rows: The N predictions of an answer.
        target_classes: Ids of the classes that each of T targets may have.
        class_ids: The requested classes; None for all.
        classes: Number of the model's classes.

    Returns:
        (T,) and (N, T).
    """
    of_class = np.zeros((classes, len(target_classes)), bool)
    for target, ids in enumerate(target_classes):
        of_class[list(ids), target] = True
    wanted = np.asarray(of_class[list(range(classes) if class_ids is None else class_ids)].any(0))
    return wanted, of_class[[row["class_id"] for row in rows]]


def count_matches(
    pairs: Pairs,
    predictions: int,
    wanted: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    crowds: NDArray[np.bool_],
    sum_name: str,
) -> Counts:
    """Matches predictions with targets greedily, in the order of the predictions.

    Args:
        pairs: Of a prediction and a target each that may match, with their IoU or OKS, at least 0.5.
        predictions: Number of all predictions.
        wanted: (T,) whether a target is of a requested class.
        ignored: (T,) whether it is not counted, nor a prediction that matches it.
        crowds: (T,) whether several predictions may match it.
        sum_name: Name of the sum of the IoU or OKS of the matched.

    Returns:
        `matched`, `found`, `targets`, and the sum.
    """
    wanted = wanted & ~ignored
    pairs = pairs.only(np.lexsort((-pairs.targets, -pairs.ious, pairs.predictions)))
    turns, thresholds = np.arange(predictions), np.array([IOU_THRESHOLD])
    choice = pair_greedily(pairs, turns, thresholds, wanted[:, None], crowds)[:, 0, 0]
    chosen = choice[pairs.predictions] == pairs.targets
    left_out = ignored[pairs.targets]
    matched = chosen & ~left_out
    return {
        "matched": int(matched.sum()),
        "found": predictions - int((chosen & left_out).sum()),
        "targets": int(wanted.sum()),
        sum_name: round(float(pairs.ious[matched].sum()), 6),
    }


def _pairs_of_boxes(
    predictions: Sequence[Mapping[str, Any]], truth: TrueObjects, same_class: NDArray[np.bool_], limit: TimeLimit
) -> Pairs:
    limit.check()
    boxes = with_sizes([[row["box"][member] for member in BOX_MEMBERS] for row in predictions])
    ious = ious_of(boxes, truth.boxes, truth.crowds)
    rows, targets = np.nonzero((ious >= IOU_THRESHOLD) & same_class)
    return Pairs(rows, targets, ious[rows, targets])


def _pairs_of_masks(
    predictions: Sequence[Mapping[str, Any]], truth: TrueObjects, same_class: NDArray[np.bool_], limit: TimeLimit
) -> Pairs:
    """Computes IoU one pair at a time, since pycocotools holds the GIL."""
    assert truth.masks is not None
    rows: list[int] = []
    targets: list[int] = []
    ious: list[float] = []
    for row in np.flatnonzero(same_class.any(1)).tolist():
        mask = mask_of(predictions[row]["mask"], truth.masks[0].size)
        near = ious_of(with_sizes([mask.bounds]), truth.boxes, truth.crowds)[0] > 0
        for target in np.flatnonzero(near & same_class[row]).tolist():
            limit.check()
            crowd = truth.crowds[target : target + 1]
            iou = float(ious_of([mask.to_coco()], [truth.masks[target].to_coco()], crowd)[0, 0])
            if iou >= IOU_THRESHOLD:
                rows.append(row)
                targets.append(target)
                ious.append(iou)
    return Pairs(np.array(rows, np.int64), np.array(targets, np.int64), np.array(ious, np.float64))


def mask_of(written: Any, size: Sequence[int]) -> Mask:
    """Decodes a mask of an answer, in any mask format."""
    if isinstance(written, dict):
        return Mask.from_coco(cast(Mapping[str, Any], written))
    height, width = size
    return Mask.from_array(parse_mask(written, (height, width)).to_array())


def judge_regions(
    answer: Mapping[str, Any], truth: TrueRegions, class_ids: Sequence[int] | None, classes: int, *_: object
) -> Counts:
    """Counts pixels by class; the arguments are as for `judge_objects`, and it takes as long."""
    targets = truth.class_map
    if class_ids is not None:
        others = np.setdiff1d(np.arange(1, classes), class_ids).astype(np.uint8)
        targets = np.where(np.isin(targets, others), np.uint8(0), targets)
    pixels = Overlap.of(confusion_matrix(targets, class_map_of(answer, truth.class_map.shape), classes, IGNORED))
    there = np.flatnonzero(pixels.either).tolist()
    parts = {"both": pixels.both, "target": pixels.target, "found": pixels.prediction}
    return {f"{part} {class_id}": int(counts[class_id]) for part, counts in parts.items() for class_id in there}


def class_map_of(answer: Mapping[str, Any], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """(H, W) uint8 class ids of an answer, from masks in any format."""
    if "class_map" in answer:
        with Image.open(io.BytesIO(b64decode(answer["class_map"]))) as image:
            return np.asarray(image).astype(np.uint8)
    class_map = np.zeros(size, np.uint8)
    for row in answer["predictions"]:
        class_map[mask_of(row["mask"], size).to_array()] = row["class_id"]
    return class_map
