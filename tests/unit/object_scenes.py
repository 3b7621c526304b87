"""Seeded images with objects and what might have been found of them, and the same as COCO's tools read it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from models.geometry.boxes import with_sizes
from models.geometry.masks import Mask
from models.metrics.coco.image_results import GroundTruth, ImageResult, Predictions

SIZE = (240, 320)


def seeded_scenes(seed: int, images: int = 24, classes: int = 4, masks: bool = False) -> list[ImageResult]:
    """With crowds, images without targets, without anything found, with 130 found of one class; odd seeds with ties."""
    drawing = np.random.default_rng(seed)
    return [_scene(drawing, 3 * number + 1, classes, masks, ties=seed % 2 == 1) for number in range(images)]


def _scene(drawing: np.random.Generator, image_id: int, classes: int, masks: bool, ties: bool) -> ImageResult:
    count = 0 if drawing.random() < 0.1 else int(drawing.integers(1, 9))
    boxes, class_ids = _boxes(drawing, count), drawing.integers(0, classes, count)
    found_count = int(drawing.choice([0, 12, 25, 140], p=[0.1, 0.5, 0.3, 0.1]))
    if count:
        of = drawing.integers(0, count, found_count)
        sides = np.tile(boxes[of, 2:] - boxes[of, :2], 2)
        near = boxes[of] + drawing.normal(0, 0.12, (found_count, 4)) * sides
        chosen = drawing.random(found_count) < 0.7
        found = np.where(chosen[:, None], near, _boxes(drawing, found_count))
        right = chosen & (drawing.random(found_count) < 0.85)
        found_ids = np.where(right, class_ids[of], drawing.integers(0, classes, found_count))
    else:
        found, found_ids = _boxes(drawing, found_count), drawing.integers(0, classes, found_count)
    if found_count == 140:
        found_ids[:] = int(found_ids[0])
    found[:, :2] = np.clip(found[:, :2], 0, np.array(SIZE[::-1]) - 2)
    found[:, 2:] = np.clip(found[:, 2:], found[:, :2] + 1, SIZE[::-1])
    scores = drawing.random(found_count).round(1 if ties else 6)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1) * drawing.uniform(0.5, 1, count)
    crowds = drawing.random(count) < 0.15
    return ImageResult(
        image_id,
        SIZE,
        GroundTruth(boxes, class_ids, areas, crowds, _ellipses(boxes) if masks else None),
        Predictions(found, found_ids, scores, _ellipses(found) if masks else None),
    )


def _boxes(drawing: np.random.Generator, count: int) -> np.ndarray:
    sizes = np.exp(drawing.uniform(np.log(6), np.log(200), (count, 2)))
    corners = drawing.uniform(0, np.array(SIZE[::-1]) - sizes)
    return np.concatenate([corners, corners + sizes], 1)


def _ellipses(boxes: np.ndarray) -> tuple[Mask, ...]:
    return tuple(_ellipse(*box) for box in boxes.round().astype(np.int64).tolist())


def _ellipse(x_min: int, y_min: int, x_max: int, y_max: int) -> Mask:
    height, width = max(1, y_max - y_min), max(1, x_max - x_min)
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    return Mask.from_region(
        (rows[:, None] / height) ** 2 + (columns / width) ** 2 <= 1 / 4,
        (min(y_min, SIZE[0] - 1), min(x_min, SIZE[1] - 1)),
        SIZE,
    )


def scene_of(
    targets: Sequence[tuple[Sequence[float], int]],
    found: Sequence[tuple[Sequence[float], int, float]],
    image_id: int = 1,
    crowds: Sequence[bool] | None = None,
) -> ImageResult:
    """An image by hand: boxes and classes of targets; boxes, classes and scores of what was found."""
    boxes = np.array([box for box, _ in targets], np.float64).reshape(-1, 4)
    return ImageResult(
        image_id,
        SIZE,
        GroundTruth(
            boxes,
            np.array([class_id for _, class_id in targets], np.int64),
            np.prod(boxes[:, 2:] - boxes[:, :2], 1),
            np.array(crowds or [False] * len(targets), np.bool_),
        ),
        Predictions(
            np.array([box for box, _, _ in found], np.float64).reshape(-1, 4),
            np.array([class_id for _, class_id, _ in found], np.int64),
            np.array([score for _, _, score in found], np.float64),
        ),
    )


def coco_files(scenes: Sequence[ImageResult], classes: int, masks: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The annotation file and the results; categories are numbered from 1."""
    images = [{"id": scene.image_id, "height": scene.size[0], "width": scene.size[1]} for scene in scenes]
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for scene in scenes:
        known, found = scene.targets, scene.predictions
        for index, box in enumerate(with_sizes(known.boxes).tolist()):
            row: dict[str, Any] = {"id": len(annotations) + 1, "image_id": scene.image_id, "bbox": box}
            row |= {"category_id": int(known.class_ids[index]) + 1, "area": float(known.areas[index])}
            row["iscrowd"] = int(known.crowds[index])
            annotations.append(row | ({"segmentation": known.masks[index].to_coco()} if known.masks else {}))
        for index, box in enumerate(with_sizes(found.boxes).tolist()):
            row: dict[str, Any] = {"image_id": scene.image_id, "category_id": int(found.class_ids[index]) + 1}
            row["score"] = float(found.scores[index])
            shape = {"segmentation": found.masks[index].to_coco()} if masks and found.masks else {"bbox": box}
            results.append(row | shape)
    categories = [{"id": class_id + 1, "name": str(class_id)} for class_id in range(classes)]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def pycocotools_evaluation(
    scenes: Sequence[ImageResult], classes: int, masks: bool = False, limits: Sequence[int] = (1, 10, 100)
) -> Any:
    """What pycocotools measures: a `COCOeval`, accumulated, and summarised where there are three limits."""
    file, results = coco_files(scenes, classes, masks)
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = file
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm" if masks else "bbox")
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
        if len(limits) == 3:
            evaluation.summarize()
    return evaluation
