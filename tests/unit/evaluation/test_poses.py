"""An evaluation of poses has the figures that pycocotools computes from the files that it writes."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from models.datasets.samples import DatasetError, ObjectTarget
from models.entries.skeletons import PERSON, Skeleton, numbered_names
from models.metrics.coco.key_points import HEADLINES
from services.evaluation.kinds.pose_metric import PoseMetric, result_of
from services.evaluation.lines import coco_annotations, coco_results
from services.evaluation.scoring import Record

SIZE = (200, 300)


def record(index: int, skeleton: Skeleton = PERSON, names: tuple[str, ...] = PERSON.names) -> Record:
    """A photo with three people, one without key points, and what was found of them."""
    drawing = np.random.default_rng(index)
    corners = drawing.uniform(0, 100, (3, 2))
    sizes = drawing.uniform(40, 100, (3, 2))
    places = corners[:, None] + drawing.random((3, len(names), 2)) * sizes[:, None]
    seen = drawing.integers(0, 3, (3, len(names)))
    seen[2] = 0
    boxes = np.concatenate([corners, corners + sizes], 1)
    known = np.concatenate([places, seen[..., None].astype(np.float64)], 2)
    nobody = np.zeros(3, bool)
    target = ObjectTarget(boxes, np.zeros(3, np.int64), np.prod(sizes, 1), nobody, None, known, skeleton)
    spread = drawing.uniform(1, 8, (3, 1, 1))
    found = (places + drawing.normal(0, 1, places.shape) * spread).clip(0, 200)
    rows = [
        {
            "box": dict(zip(("x_min", "y_min", "x_max", "y_max"), box, strict=True)),
            "class_id": 0,
            "class_name": "person",
            "score": 1.0,
            "pose_score": float(score),
            "keypoints": [
                {"name": name, "x": x, "y": y, "score": 0.5, "visible": True}
                for name, (x, y) in zip(names, points, strict=True)
            ],
        }
        for box, points, score in zip(boxes.tolist(), found.tolist(), drawing.random(3), strict=True)
    ]
    return Record(index, index + 10, f"{index}.jpg", SIZE, target, {"predictions": rows})


def pycocotools_stats(records: list[Record]) -> Any:
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for one in records:
        assert isinstance(one.target, ObjectTarget)
        for row in coco_annotations(one.target, one.image_id, {0: 1}):
            annotations.append({"id": len(annotations) + 1, **row})
        results += coco_results({"image_id": one.image_id, "answer": one.answer}, {0: 1})
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = {
            "images": [{"id": one.image_id, "height": SIZE[0], "width": SIZE[1]} for one in records],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person"}],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_headline_figures_are_those_of_pycocotools() -> None:
    records = [record(index) for index in range(20)]
    metric = PoseMetric(("person",), (0,), replicates=50)
    measured = metric.compute([metric.update(records[:7]), metric.update(records[7:])])
    stats = pycocotools_stats(records)
    np.testing.assert_allclose([measured.headline[name].value for name in HEADLINES], stats, atol=1e-9)
    assert 0.05 < measured.headline["oks_ap"].value < 0.95
    assert measured.headline["oks_ap"].low < measured.headline["oks_ap"].value < measured.headline["oks_ap"].high
    assert measured.headline["box_map"].value > 0.99
    assert measured.per_class[0]["targets"] == 40 and measured.protocol["iou_type"] == "keypoints"


def test_without_images_every_figure_is_nan() -> None:
    measured = PoseMetric(("person",), (0,), replicates=10).compute([])
    assert all(np.isnan(figure.value) for figure in measured.headline.values())


def test_key_points_are_matched_by_name() -> None:
    names = (*PERSON.names[1:], "nose", "tail")
    turned = record(3, names=names)
    assert isinstance(turned.target, ObjectTarget)
    points = result_of(turned).predictions.key_points
    assert points is not None and points.shape[1] == 17
    assert points[0, 0].tolist() == [turned.answer["predictions"][0]["keypoints"][16][key] for key in ("x", "y")]


def test_key_points_without_names_are_matched_by_place() -> None:
    result = result_of(record(3, Skeleton.of(numbered_names(17))))
    assert result.predictions.key_points is not None


def test_another_skeleton_is_an_error_that_names_the_point() -> None:
    with pytest.raises(DatasetError, match="the model has no key point 'wing'"):
        result_of(record(3, Skeleton.of(["wing", "nose"])))
