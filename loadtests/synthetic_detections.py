"""Objects, and what a detector might have answered, from a seed: for measuring how long measuring takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import ObjectTarget
from services.evaluation.scoring import Record
from services.kinds.detection import BOX_MEMBERS

_SIDE: Final = 640


def synthetic_detections(images: int, classes: int, detections: int, seed: int, objects: int = 7) -> Iterator[Record]:
    """Makes answered images of 640 x 640 pixels, one after another.

    Args:
        images: How many.
        classes: K; objects are evenly of each.
        detections: Found in each image. Of them, six in ten lie near an object, of which nine in ten are of its class.
        seed: Equal seeds give equal images.
        objects: In each image on average, from 1 to twice as many less one; COCO has 7. One in fifty is a crowd.

    Yields:
        Records, numbered from 1. Objects are 5 to 300 pixels wide and high; what lies nearer has a higher score. Boxes
        have two digits and scores have six, as in every answer.
    """
    drawing = np.random.default_rng(seed)
    for index in range(images):
        count = int(drawing.integers(1, 2 * objects))
        boxes, class_ids = _boxes(drawing, count), drawing.integers(0, classes, count)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1) * drawing.uniform(0.5, 1, count)
        target = ObjectTarget(boxes, class_ids, areas, drawing.random(count) < 0.02)
        answer = {"predictions": _answer(drawing, target, classes, detections)}
        yield Record(index, index + 1, f"{index + 1}.jpg", (_SIDE, _SIDE), target, answer)


def _answer(drawing: np.random.Generator, target: ObjectTarget, classes: int, detections: int) -> list[dict[str, Any]]:
    near = drawing.random(detections) < 0.6
    of = drawing.integers(0, len(target.boxes), detections)
    shift = drawing.normal(0, 0.12, (detections, 4))
    sides = np.tile(target.boxes[of, 2:] - target.boxes[of, :2], 2)
    boxes = np.where(near[:, None], target.boxes[of] + shift * sides, _boxes(drawing, detections))
    boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + 1)], 1).clip(0, _SIDE).round(2)
    right = near & (drawing.random(detections) < 0.9)
    class_ids = np.where(right, target.class_ids[of], drawing.integers(0, classes, detections))
    nearness = np.where(near, np.exp(-3 * np.abs(shift).sum(1)), 0.2)
    scores = (nearness * drawing.uniform(0.2, 1, detections)).round(6)
    order = np.argsort(-scores, kind="stable")
    rows = zip(boxes[order].tolist(), class_ids[order].tolist(), scores[order].tolist(), strict=True)
    return [
        {"box": dict(zip(BOX_MEMBERS, box, strict=True)), "class_id": class_id, "score": score}
        for box, class_id, score in rows
    ]


def _boxes(drawing: np.random.Generator, count: int) -> NDArray[np.float64]:
    sizes = np.exp(drawing.uniform(np.log(5), np.log(300), (count, 2)))
    corners = drawing.uniform(0, _SIDE - sizes)
    return np.concatenate([corners, corners + sizes], 1)
