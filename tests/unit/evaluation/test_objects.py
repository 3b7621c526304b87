"""The metric of objects: the figures of COCO with their intervals, in parts or at once, and what it tells besides."""

import contextlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from loadtests.synthetic_detections import synthetic_detections
from models.datasets.samples import ObjectTarget
from models.metrics.coco.image_results import ImageResult
from services.evaluation.kinds.object_metric import ObjectMetric
from services.evaluation.scoring import Measured, Record
from services.kinds.detection import BOX_MEMBERS
from tests.unit.object_scenes import pycocotools_evaluation, scene_of, seeded_scenes

NAMES = ("cat", "dog", "horse", "person", "fish")
MEASURED = (0, 1, 2, 3)
HERE, THERE, FAR = (10, 10, 60, 60), (100, 10, 150, 60), (200, 150, 250, 200)


def record_of(scene: ImageResult, index: int, masks: bool = False) -> Record:
    """As the job makes one, from what every client gets."""
    targets, found = scene.targets, scene.predictions
    order = np.argsort(-found.scores, kind="stable")
    rows: list[dict[str, Any]] = []
    for place in order.tolist():
        row: dict[str, Any] = {"box": dict(zip(BOX_MEMBERS, found.boxes[place].tolist(), strict=True))}
        row |= {"class_id": int(found.class_ids[place]), "score": float(found.scores[place])}
        if masks and found.masks:
            row["mask"] = found.masks[place].to_coco()
        rows.append(row)
    target = ObjectTarget(targets.boxes, targets.class_ids, targets.areas, targets.crowds, targets.masks)
    return Record(index, scene.image_id, f"{index}.jpg", scene.size, target, {"predictions": rows})


def measured(scenes: Sequence[ImageResult], part: int = 5, masks: bool = False, **options: Any) -> Measured:
    metric = ObjectMetric(NAMES, MEASURED, masks=masks, **{"replicates": 40, **options})
    records = [record_of(scene, index, masks) for index, scene in enumerate(scenes)]
    return metric.compute([metric.update(records[start : start + part]) for start in range(0, len(records), part)])


def values(figures: Mapping[str, Any]) -> list[float]:
    return [number for figure in figures.values() for number in (figure.value, figure.low, figure.high)]


@pytest.mark.parametrize(("seed", "masks"), [(0, False), (1, False), (2, True)])
def test_the_headline_is_that_of_pycocotools(seed: int, masks: bool) -> None:
    scenes = seeded_scenes(seed, masks=masks)
    headline = measured(scenes, masks=masks).headline
    oracle = pycocotools_evaluation(scenes, len(MEASURED), masks).stats
    assert list(headline)[:12] == [
        *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
        *("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"),
    ]
    for figure, expected in zip(headline.values(), oracle, strict=False):
        assert figure.value == pytest.approx(expected, abs=1e-9)
    assert list(headline)[12:] == ["precision", "recall", "f1", *(["box_map", "box_map_50", "box_map_75"] * masks)]
    if masks:
        boxes = pycocotools_evaluation(scenes, len(MEASURED)).stats
        assert [headline[f"box_{name}"].value for name in ("map", "map_50", "map_75")] == pytest.approx(boxes[:3])


@pytest.mark.parametrize("masks", [False, True])
def test_parts_make_the_same_figures_as_the_whole(masks: bool) -> None:
    scenes = seeded_scenes(3, masks=masks)
    whole, parts = measured(scenes, len(scenes), masks), measured(scenes, 7, masks)
    assert values(parts.headline) == pytest.approx(values(whole.headline), abs=1e-12, nan_ok=True)
    assert json.dumps([parts.per_class, parts.details]) == json.dumps([whole.per_class, whole.details])
    np.testing.assert_array_equal(parts.ranking.quality, whole.ranking.quality)
    np.testing.assert_array_equal(parts.ranking.wrong_confidence, whole.ranking.wrong_confidence)


def test_every_headline_number_has_an_interval_around_it() -> None:
    for name, figure in measured(seeded_scenes(0, images=60), replicates=100).headline.items():
        assert 0 <= figure.low < figure.value < figure.high <= 1, name


def test_columns_are_plain_arrays() -> None:
    metric = ObjectMetric(NAMES, MEASURED, masks=False)
    columns = metric.update([record_of(scene, index) for index, scene in enumerate(seeded_scenes(0))])
    assert all(isinstance(column, np.ndarray) and column.dtype != object for column in columns.values())


def test_what_is_found_of_classes_that_nobody_labelled_is_left_out() -> None:
    box = (200.0, 150.0, 250.0, 200.0)
    scene = scene_of([(HERE, 0)], [(HERE, 0, 0.9), (box, 4, 0.95)])
    found = measured([scene])
    assert found.headline["map"].value == pytest.approx(1)
    assert found.headline["precision"].value == 1
    assert [row["class_name"] for row in found.per_class] == ["cat", "dog", "horse", "person"]
    assert math.isnan(found.ranking.wrong_confidence[0])


def test_classes_without_targets_are_nan() -> None:
    found = measured([scene_of([(HERE, 0)], [(HERE, 0, 0.9), (FAR, 1, 0.2)])])
    cat, dog = found.per_class[:2]
    assert (cat["targets"], cat["map"], cat["f1"], cat["best_score"]) == (1, pytest.approx(1), 1, 0.9)
    assert dog["targets"] == 0
    assert all(math.isnan(dog[name]) for name in ("map", "map_50", "map_75", "mar_100", "best_score", "f1"))
    assert [curve["class_id"] for curve in found.details["class_curves"]] == [0]


def test_images_are_ranked_by_f1_and_by_their_surest_mistake() -> None:
    scenes = [
        scene_of([(HERE, 0), (THERE, 0)], [(HERE, 0, 0.9), (THERE, 0, 0.8)], image_id=30),
        scene_of([(HERE, 0), (THERE, 0)], [(HERE, 0, 0.9), (FAR, 0, 0.85)], image_id=10),
        scene_of([], [], image_id=20),
        scene_of([(HERE, 0)], [], image_id=40),
        scene_of([(HERE, 0)], [(FAR, 0, 0.1)], image_id=5),
    ]
    ranking = measured(scenes, part=2).ranking
    assert ranking.indices.tolist() == [0, 1, 2, 3, 4]
    assert ranking.quality == pytest.approx([1, 1 / 2, 1, 0, 0])  # the best threshold is 0.8: 2 x 3 / (4 + 6)
    assert ranking.wrong_confidence == pytest.approx([math.nan, 0.85, math.nan, math.nan, 0.1], nan_ok=True)


def test_details_are_what_a_report_draws() -> None:
    scene = scene_of([(HERE, 0), (THERE, 1)], [(HERE, 0, 0.9), (HERE, 0, 0.8), (THERE, 2, 0.7)])
    found = measured([scene])
    details = json.loads(json.dumps(found.details))
    assert [curve["iou"] for curve in details["curves"]] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert {len(curve["precision"]) for curve in details["curves"]} == {101}
    assert details["confusion"]["class_ids"] == [0, 1, 2, 3, None]
    assert details["confusion"]["score_threshold"] == details["f1_curve"]["best_score"] == 0.9
    assert details["confusion"]["matrix"][0] == [1, 0, 0, 0, 0]
    assert details["confusion"]["matrix"][1] == [0, 0, 0, 0, 1]
    counts = {row["name"]: row["count"] for row in details["errors"]}
    assert counts == {
        "localisation": 0,
        "classification": 1,
        "both": 0,
        "duplicate": 1,
        "background": 0,
        "missed": 0,
    }
    assert details["scores"]["true"] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert details["scores"]["false"] == [0, 0, 0, 0, 0, 0, 0, 1, 1, 0]
    assert found.headline["precision"].value == 1
    assert [found.headline[name].value for name in ("recall", "map_50")] == pytest.approx([1 / 2, 1 / 2])


def test_nothing_at_all_is_nan() -> None:
    metric = ObjectMetric(NAMES, MEASURED, masks=True, replicates=5)
    for parts in ([], [metric.update([]), metric.update([])]):
        found = metric.compute(parts)
        assert all(math.isnan(number) for number in values(found.headline))
        assert not len(found.ranking.indices)
        assert found.details["f1_curve"]["f1"] == pytest.approx([math.nan] * 101, nan_ok=True)


def test_nothing_found_is_zero() -> None:
    found = measured([scene_of([(HERE, 0)], [])])
    assert found.headline["map"].value == found.headline["recall"].value == found.headline["f1"].value == 0
    assert math.isnan(found.headline["precision"].value)


def test_the_protocol_tells_what_figures_depend_on() -> None:
    protocol = measured(seeded_scenes(0), seed=7, max_detections=258).protocol
    assert protocol["iou_type"] == "bbox"
    assert protocol["iou_thresholds"][0] == 0.5
    assert protocol["areas_pixels"]["medium"] == [1024, 9216]
    assert protocol["max_detections"] == 258
    told = {"over": "images", "replicates": 40, "seed": 7, "level": 0.95}
    assert told.items() <= protocol["bootstrap"].items()


def test_masks_that_a_data_set_does_not_have_are_told() -> None:
    metric = ObjectMetric(NAMES, MEASURED, masks=True)
    with pytest.raises(ValueError, match="boxes only"):
        metric.update([record_of(scene_of([(HERE, 0)], []), 0)])


def coco_documents(records: Iterable[Record], classes: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same as COCO's tools read it: the annotation file, and the results; categories are numbered from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for record in records:
        known, of_image = record.target, {"image_id": record.image_id}
        assert isinstance(known, ObjectTarget)
        images.append({"id": record.image_id, "height": record.size[0], "width": record.size[1]})
        rows = zip(
            known.boxes.tolist(), known.class_ids.tolist(), known.areas.tolist(), known.crowds.tolist(), strict=True
        )
        for box, class_id, area, crowd in rows:
            row = {"id": len(annotations) + 1, "category_id": class_id + 1, "area": area, "iscrowd": int(crowd)}
            annotations.append({**of_image, **row, "bbox": _coco_box(*box)})
        for found in record.answer["predictions"]:
            box = _coco_box(*(found["box"][member] for member in BOX_MEMBERS))
            results.append({**of_image, "category_id": found["class_id"] + 1, "bbox": box, "score": found["score"]})
    categories = [{"id": class_id + 1, "name": str(class_id)} for class_id in range(classes)]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def _coco_box(x_min: float, y_min: float, x_max: float, y_max: float) -> list[float]:
    return [x_min, y_min, x_max - x_min, y_max - y_min]


def test_synthetic_detections_are_repeatable_and_measured_as_pycocotools_does() -> None:
    records, again = (list(synthetic_detections(12, 4, 30, seed=1)) for _ in range(2))
    assert [record.answer for record in records] == [record.answer for record in again]
    metric = ObjectMetric(NAMES, MEASURED, masks=False, replicates=2)
    found = metric.compute([metric.update(records[:5]), metric.update(records[5:])])
    file, results = coco_documents(records, 4)
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = file
        truth.createIndex()
        oracle = COCOeval(truth, truth.loadRes(results), "bbox")
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    assert [figure.value for figure in found.headline.values()][:12] == pytest.approx(oracle.stats.tolist(), abs=1e-9)
