"""What an answer got right, given the truth: small counts, of which any number of answers can be added up.

Each judgement is a JSON object: `right` for a class; `matched`, `found`, `targets` and `overlap` for objects; and
`intersections` and `unions` by class id, in pixels, for regions. `services.gateway.live_accuracy` makes figures of it.
"""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from models.masks import Mask
from models.metrics.confusion import confusion_matrix
from services.client.masks import parse_mask
from services.gateway.truths import IGNORED, TrueClass, TrueObjects, TrueRegions, Truth
from services.wire import BOX_MEMBERS

IOU_THRESHOLD: Final = 0.5
"""The least IoU at which something found can be an object that is there."""

Judgement = dict[str, Any]


def judge(answer: Mapping[str, Any], truth: Truth, class_ids: Sequence[int] | None, classes: int) -> Judgement:
    """Compare an answer with the truth. Masks of large photos take long: never do it on an event loop.

    Args:
        answer: As `services.wire.describe_prediction` writes it.
        truth: Of the kind that suits it.
        class_ids: The classes that were asked for, where not all were: of other classes nothing was missed.
        classes: How many the model has.
    """
    if isinstance(truth, TrueClass):
        best = answer["predictions"][:1]
        return {"right": int(bool(best) and best[0]["class_id"] in truth.class_ids)}
    if isinstance(truth, TrueObjects):
        return _judge_objects(answer["predictions"], truth, class_ids)
    return _judge_regions(answer, truth, class_ids, classes)


def _judge_objects(
    found: Sequence[Mapping[str, Any]], truth: TrueObjects, class_ids: Sequence[int] | None
) -> Judgement:
    """The best object found chooses first, of the targets of its class that are free the one with the greatest IoU."""
    asked = [class_ids is None or not ids.isdisjoint(class_ids) for ids in truth.class_ids]
    crowd = np.array(truth.crowds, bool)
    free = np.array(asked, bool) & ~crowd
    targets = int(free.sum())
    matched, in_crowds, overlap = 0, 0, 0.0
    for row in found:
        overlaps = _overlaps(row, truth)
        overlaps[[row["class_id"] not in ids for ids in truth.class_ids]] = 0.0
        open_overlaps = np.where(free, overlaps, 0.0)
        best = int(open_overlaps.argmax()) if len(open_overlaps) else 0
        if len(open_overlaps) and open_overlaps[best] >= IOU_THRESHOLD:
            free[best] = False
            matched += 1
            overlap += float(open_overlaps[best])
        elif np.any(overlaps[crowd] >= IOU_THRESHOLD):
            in_crowds += 1
    return {"matched": matched, "found": len(found) - in_crowds, "targets": targets, "overlap": round(overlap, 6)}


def _overlaps(row: Mapping[str, Any], truth: TrueObjects) -> NDArray[np.float64]:
    """(N,) IoU of something found with every target; with a crowd, the share of it that lies in the crowd.

    Of one object at a time, for pycocotools lets no other thread run meanwhile.
    """
    if not truth.outlines:
        return np.zeros(0)
    found: Any
    if truth.masked:
        found, there = [_mask_of(row["mask"], truth.outlines[0]["size"]).to_coco()], list(truth.outlines)
    else:
        x_min, y_min, x_max, y_max = (row["box"][member] for member in BOX_MEMBERS)
        found = np.array([[x_min, y_min, x_max - x_min, y_max - y_min]], np.float64)
        there = np.array(truth.outlines, np.float64)
    crowds = np.array(truth.crowds, np.uint8)
    return np.array(cast(Any, coco_mask).iou(found, there, crowds), np.float64).reshape(-1)


def _mask_of(written: Any, size: Sequence[int]) -> Mask:
    """A mask of an answer, in whatever format it was asked for."""
    if isinstance(written, dict):
        return Mask.from_coco(cast(Mapping[str, Any], written))
    height, width = size
    return Mask.from_array(parse_mask(written, (height, width)).to_array())


def _judge_regions(
    answer: Mapping[str, Any], truth: TrueRegions, class_ids: Sequence[int] | None, classes: int
) -> Judgement:
    targets = truth.class_map
    if class_ids is not None:
        others = np.setdiff1d(np.arange(1, classes), class_ids).astype(np.uint8)
        targets = np.where(np.isin(targets, others), np.uint8(0), targets)
    pairs = confusion_matrix(targets, _class_map(answer, truth.class_map.shape), classes, IGNORED)
    intersections = np.diagonal(pairs)
    unions = pairs.sum(0) + pairs.sum(1) - intersections
    there = np.flatnonzero(unions).tolist()
    return {
        "intersections": {str(class_id): int(intersections[class_id]) for class_id in there},
        "unions": {str(class_id): int(unions[class_id]) for class_id in there},
    }


def _class_map(answer: Mapping[str, Any], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """(H, W) uint8 class ids of an answer, in whatever format its masks are."""
    if "class_map" in answer:
        with Image.open(io.BytesIO(b64decode(answer["class_map"]))) as image:
            return np.asarray(image).astype(np.uint8)
    class_map = np.zeros(size, np.uint8)
    for row in answer["predictions"]:
        class_map[_mask_of(row["mask"], size).to_array()] = row["class_id"]
    return class_map
