"""Whether two systems say the same of a photo, though their resizes and roundings differ a little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.detection.selection import iou
from models.entries import Task
from models.geometry.masks import Mask
from models.predictions import Classification, Detections, InstanceMasks, Poses, Prediction, SemanticMask

SURE_SCORE: Final = 0.5
"""A box of this score or more must be in the other answer, too, whatever its score is there."""
SAME_IOU: Final = 0.7
"""Two boxes that overlap by this much are the same."""
SURE_SHARE: Final = 0.01
"""A class that has this share of the photo's pixels must have them in the other answer, too."""
SAME_MASK_IOU: Final = 0.8
"""Two masks of a class that overlap by this much are the same."""


def prediction_from(task: Task, document: Mapping[str, Any]) -> Prediction:
    """Reads an answer of the HTTP API, or of a system that gives the same.

    Args:
        task: The kind of answer; that of a segmentation must be a semantic model's, with masks as run lengths.
        document: With `image` and `predictions`, best first.

    Raises:
        KeyError, TypeError, ValueError: it is no such answer.
    """
    size = document["image"]["height"], document["image"]["width"]
    rows: list[Any] = document["predictions"]
    if task == "segmentation":
        return _semantic_mask(rows, size)
    class_ids = np.array([row["class_id"] for row in rows], np.int64)
    if task == "classification":
        return Classification(class_ids, np.array([row["probability"] for row in rows], np.float32), size)
    edges = [[row["box"][name] for name in ("x_min", "y_min", "x_max", "y_max")] for row in rows]
    scores = np.array([row["score"] for row in rows], np.float32)
    return Detections(np.array(edges, np.float32).reshape(-1, 4), scores, class_ids, size)


def confident_predictions(prediction: Prediction) -> int:
    """How much of an answer every other must have.

    That is its best class, its boxes of `SURE_SCORE` and more, or its classes of `SURE_SHARE` and more of the pixels.
    """
    if isinstance(prediction, Classification):
        return 1
    if isinstance(prediction, SemanticMask):
        return len(_sure_classes(prediction))
    assert isinstance(prediction, Detections | InstanceMasks | Poses)
    return int((prediction.scores >= SURE_SCORE).sum())


def agree(one: Prediction, other: Prediction) -> bool:
    """Tells whether each answer has what the other is sure of.

    Args:
        one: Of one system.
        other: Of another, for the same photo and task.

    Returns:
        Of classifications, whether the best class of each is among the classes of the other. Of detections, whether
        each box of `SURE_SCORE` and more has one of the same class in the other, with an IoU of `SAME_IOU` or more. Of
        semantic masks, whether each class of `SURE_SHARE` and more has pixels with an IoU of `SAME_MASK_IOU` or more.
    """
    if isinstance(one, Classification) and isinstance(other, Classification):
        return bool(one.class_ids[0] in other.class_ids and other.class_ids[0] in one.class_ids)
    if isinstance(one, SemanticMask) and isinstance(other, SemanticMask):
        return all(
            _mask_iou(one.class_map == class_id, other.class_map == class_id) >= SAME_MASK_IOU
            for class_id in _sure_classes(one) | _sure_classes(other)
        )
    assert isinstance(one, Detections) and isinstance(other, Detections)
    return _has_sure_boxes(other, one) and _has_sure_boxes(one, other)


def judge(who: str, expected: Sequence[Prediction], answers: Sequence[Prediction | None]) -> tuple[str, bool]:
    """Checks that a system answers as the floor does, which must be sure of something for that to say anything.

    Args:
        who: The system and its photos.
        expected: What the floor answers to each photo.
        answers: What the system does.

    Returns:
        What must hold, as a line, and whether it does.
    """
    same = sum(answer is not None and agree(one, answer) for one, answer in zip(expected, answers, strict=True))
    sure = sum(map(confident_predictions, expected))
    what = f"{who}: agrees with the floor on {same} of {len(expected)} photos, {sure} of their predictions confident"
    return what, same == len(expected) and sure > 0


def _semantic_mask(rows: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> SemanticMask:
    class_map = np.zeros(size, np.uint8)
    for row in rows:
        class_map[Mask.from_coco(row["mask"]).to_array()] = row["class_id"]
    return SemanticMask(class_map, np.array(sorted(row["class_id"] for row in rows), np.int64), None, size)


def _sure_classes(prediction: SemanticMask) -> set[int]:
    return {
        class_id
        for class_id in prediction.class_ids.tolist()
        if (prediction.class_map == class_id).mean() >= SURE_SHARE
    }


def _mask_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def _has_sure_boxes(prediction: Detections, of: Detections) -> bool:
    sure = of.scores >= SURE_SCORE
    overlaps = iou(torch.from_numpy(of.boxes[sure]), torch.from_numpy(prediction.boxes)).numpy()
    same_class = of.class_ids[sure][:, None] == prediction.class_ids
    return bool(((overlaps >= SAME_IOU) & same_class).any(1).all())
