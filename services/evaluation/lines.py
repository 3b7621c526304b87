"""The record of every image, one JSON object a line (JSONL), and its conversion to COCO's annotations and results.

A line has `index` and `name`; then either `problem`, or `image_id`, `size` ((height, width) in pixels), `answer` (what
the predictions) and, for objects, `target` (the ground truth as COCO annotations).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import EvaluationSet, ObjectTarget
from services.answers.image_problem import Problem
from services.evaluation.class_match import ClassMatch
from services.evaluation.kinds import KINDS
from services.evaluation.scoring import Record
from services.kinds.keypoints import coco_key_points

Line = Mapping[str, Any]
UNKNOWN_CLASS = "unknown_class"
"""Problem code of an image whose class the model does not have: it is skipped, and is no failure."""


def failed_line(index: int, name: str, problem: Problem) -> Line:
    """The line of an image without a prediction."""
    return {"index": index, "name": name, "problem": {"code": problem.code, "message": problem.message}}


def answered_line(record: Record, data: EvaluationSet, match: ClassMatch) -> Line:
    """The line of an image that was predicted and measured."""
    predictions = record.answer["predictions"][: KINDS[data.kind].kept_predictions]
    line: dict[str, Any] = {
        "index": record.index,
        "name": record.name,
        "image_id": record.image_id,
        "size": record.size,
        "answer": {**record.answer, "predictions": predictions},
    }
    if isinstance(record.target, ObjectTarget):
        line["target"] = coco_annotations(record.target, record.image_id, category_ids(data, match))
    return line


def category_ids(data: EvaluationSet, match: ClassMatch) -> dict[int, int]:
    """The data set's category id of every class that model and data set share."""
    found: dict[int, int] = {}
    for class_id, category_id in zip(match.to_model.tolist(), data.category_ids, strict=True):
        if class_id >= 0:
            found.setdefault(class_id, category_id)
    return found


def coco_annotations(target: ObjectTarget, image_id: int, categories: Mapping[int, int]) -> list[dict[str, Any]]:
    """Ground-truth objects as COCO annotations, without their ids (https://cocodataset.org/#format-data)."""
    return [
        {
            "image_id": image_id,
            "category_id": categories[class_id],
            "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
            "area": area,
            "iscrowd": int(crowd),
            **({} if target.masks is None else {"segmentation": target.masks[number].to_coco()}),
            **({} if target.key_points is None else _coco_key_points(target.key_points[number])),
        }
        for number, ((x_min, y_min, x_max, y_max), class_id, area, crowd) in enumerate(
            zip(
                target.boxes.tolist(),
                target.class_ids.tolist(),
                target.areas.tolist(),
                target.crowds.tolist(),
                strict=True,
            )
        )
    ]


def _coco_key_points(points: NDArray[np.float64]) -> dict[str, Any]:
    return {"keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}


def coco_results(line: Line, categories: Mapping[int, int]) -> list[dict[str, Any]]:
    """Predictions of an image in COCO's results format (https://cocodataset.org/#format-results).

    Classes that the data set does not have are left out. A classification gives `category_id` and `score` alone; a
    semantic mask gives a `segmentation` without a score for every class.
    """
    rows: list[dict[str, Any]] = []
    for found in line["answer"]["predictions"]:
        category_id = categories.get(found["class_id"])
        if category_id is None:
            continue
        row: dict[str, Any] = {"image_id": line["image_id"], "category_id": category_id}
        if "keypoints" in found:
            row["keypoints"] = coco_key_points(found["keypoints"])
        elif "mask" in found:
            row["segmentation"] = found["mask"]
        elif "box" in found:
            box = found["box"]
            width, height = box["x_max"] - box["x_min"], box["y_max"] - box["y_min"]
            row["bbox"] = [box["x_min"], box["y_min"], width, height]
        score = found.get("pose_score", found.get("score", found.get("probability")))
        rows.append(row if score is None else {**row, "score": score})
    return rows
