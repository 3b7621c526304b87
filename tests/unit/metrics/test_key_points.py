"""Average precision by OKS is that of pycocotools in all ten numbers; who has no key points is ignored."""

import contextlib
import io
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from models.entries.skeletons import PERSON
from models.geometry.boxes import with_sizes
from models.metrics.coco.image_results import GroundTruth, ImageResult, Predictions
from models.metrics.coco.key_points import HEADLINES, MAX_POSES, oks, oks_figures
from models.metrics.coco.matches import Matches
from models.metrics.coco.matching import match_images
from models.metrics.coco.thresholds import Verdicts, best_operation

SIZE = (240, 320)


def people(seed: int, images: int = 30) -> list[ImageResult]:
    """People with noisy predictions; some are crowds, some have no labelled key point; odd seeds have equal scores."""
    drawing = np.random.default_rng(seed)
    return [_photo(drawing, 2 * number + 1, ties=seed % 2 == 1) for number in range(images)]


def _photo(drawing: np.random.Generator, image_id: int, ties: bool) -> ImageResult:
    count = int(drawing.integers(0, 7))
    sizes = np.exp(drawing.uniform(np.log(20), np.log(180), (count, 2)))
    corners = drawing.uniform(0, np.array(SIZE[::-1]) - sizes)
    boxes = np.concatenate([corners, corners + sizes], 1)
    points = corners[:, None] + drawing.random((count, len(PERSON), 2)) * sizes[:, None]
    seen = drawing.choice([0, 1, 2], (count, len(PERSON)), p=[0.3, 0.2, 0.5])
    crowds = drawing.random(count) < 0.1
    seen[crowds | (drawing.random(count) < 0.2)] = 0
    known = np.concatenate([points * (seen > 0)[..., None], seen[..., None]], 2)
    found_count = int(drawing.choice([0, 4, 12, 30])) if count else int(drawing.integers(0, 4))
    of = drawing.integers(0, max(1, count), found_count)
    spread = drawing.uniform(0, 0.15, (found_count, 1, 1))
    base = points[of] if count else np.full((found_count, len(PERSON), 2), 100.0)
    scale = sizes[of].mean(1)[:, None, None] if count else 50.0
    found = base + drawing.normal(0, 1, (found_count, len(PERSON), 2)) * spread * scale
    scores = drawing.random(found_count).round(1 if ties else 6)
    around = np.concatenate([found.min(1), found.max(1)], 1).reshape(-1, 4)
    return ImageResult(
        image_id,
        SIZE,
        GroundTruth(boxes, np.zeros(count, np.int64), np.prod(sizes, 1) * 0.6, crowds, None, known),
        Predictions(around, np.zeros(found_count, np.int64), scores, None, found),
    )


def pycocotools_evaluation(scenes: Sequence[ImageResult]) -> Any:
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for scene in scenes:
        known, found = scene.targets, scene.predictions
        assert known.key_points is not None and found.key_points is not None
        for index, box in enumerate(with_sizes(known.boxes).tolist()):
            points = known.key_points[index]
            row = {"id": len(annotations) + 1, "image_id": scene.image_id, "category_id": 1, "bbox": box}
            row |= {"area": float(known.areas[index]), "iscrowd": int(known.crowds[index])}
            row |= {"keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
            annotations.append(row)
        for points, score in zip(found.key_points, found.scores.tolist(), strict=True):
            flat = np.concatenate([points, np.ones((len(points), 1))], 1).ravel().tolist()
            results.append({"image_id": scene.image_id, "category_id": 1, "keypoints": flat, "score": score})
    images = [{"id": scene.image_id, "height": SIZE[0], "width": SIZE[1]} for scene in scenes]
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def matches_in_parts(scenes: Sequence[ImageResult]) -> Matches:
    parts = [scenes[start : start + 7] for start in range(0, len(scenes), 7)]
    return Matches.joined([match_images(part, False, MAX_POSES, PERSON.sigmas) for part in reversed(parts)])


@pytest.mark.parametrize("seed", range(8))
def test_all_ten_numbers_are_those_of_pycocotools(seed: int) -> None:
    scenes = people(seed)
    figures = oks_figures(matches_in_parts(scenes), [0])
    np.testing.assert_allclose([figures[name] for name in HEADLINES], pycocotools_evaluation(scenes).stats, atol=1e-9)
    assert 0.02 < figures["oks_ap"] < 0.95


def test_similarities_are_those_of_pycocotools() -> None:
    scenes = people(3)
    evaluation = pycocotools_evaluation(scenes)
    compared = 0
    for scene in scenes:
        theirs = evaluation.ious[scene.image_id, 1]
        if len(theirs):
            best, _ = scene.predictions.counted(MAX_POSES)
            np.testing.assert_allclose(oks(scene.targets, best, PERSON.sigmas), theirs, atol=1e-12)
            compared += 1
    assert compared > 8


def test_a_point_one_standard_deviation_away_counts_exp_of_minus_a_half() -> None:
    points = np.zeros((1, 17, 3))
    points[0, 0] = 50, 50, 2
    target = GroundTruth(
        np.array([[0.0, 0, 100, 100]]), np.zeros(1, np.int64), np.array([2500.0]), np.zeros(1, bool), None, points
    )
    distance = 2 * PERSON.sigmas[0] * 50  # twice sigma, times the square root of the area
    found = np.full((1, 17, 2), 50.0)
    found[0, 0, 0] += distance
    prediction = Predictions(np.zeros((1, 4)), np.zeros(1, np.int64), np.ones(1), None, found)
    assert oks(target, prediction, PERSON.sigmas)[0, 0] == pytest.approx(np.exp(-0.5))


def test_a_person_without_key_points_is_neither_missed_nor_found() -> None:
    boxes = np.array([[10.0, 10, 60, 110], [100, 10, 150, 110]])
    points = np.zeros((2, 17, 3))
    points[0] = 30, 50, 2
    target = GroundTruth(boxes, np.zeros(2, np.int64), np.full(2, 5000.0), np.zeros(2, bool), None, points)
    found = np.full((2, 17, 2), 50.0)
    found[0], found[1] = (30, 50), (120, 50)
    predictions = Predictions(boxes, np.zeros(2, np.int64), np.array([0.8, 0.9]), None, found)
    matches = match_images([ImageResult(1, SIZE, target, predictions)], False, MAX_POSES, PERSON.sigmas)
    assert oks_figures(matches, [0])["oks_ap"] == pytest.approx(1)
    assert best_operation(Verdicts.of(matches)) == (0.8, 1, 1, 1)
    assert not matches.missed.any()


def test_without_labelled_people_every_figure_is_nan() -> None:
    scenes = people(0, images=1)
    nobody = ImageResult(
        1, SIZE, scenes[0].targets.only(np.zeros(len(scenes[0].targets.areas), bool)), scenes[0].predictions
    )
    assert np.isnan(list(oks_figures(match_images([nobody], False, MAX_POSES, PERSON.sigmas), [0]).values())).all()


def test_boxes_alone_cannot_be_measured() -> None:
    scene = people(0)[1]
    bare = Predictions(scene.predictions.boxes, scene.predictions.class_ids, scene.predictions.scores)
    with pytest.raises(ValueError, match="key points are to be measured"):
        oks(scene.targets, bare, PERSON.sigmas)


def test_a_thousand_by_a_thousand_objects_take_little_memory_and_can_be_stopped() -> None:
    count = 1000
    known = GroundTruth(
        np.tile([0.0, 0, 9, 9], (count, 1)),
        np.zeros(count, np.int64),
        np.full(count, 50.0),
        np.zeros(count, bool),
        None,
        np.ones((count, 17, 3)),
    )
    found = Predictions(known.boxes, known.class_ids, np.ones(count), None, np.ones((count, 17, 2)))
    tracemalloc.start()
    assert (oks(known, found, PERSON.sigmas) == 1).all()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50e6

    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        oks(known, found, PERSON.sigmas, stop)
