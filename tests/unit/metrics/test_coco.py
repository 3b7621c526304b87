"""Average precision and recall are those of pycocotools, in every number, whole or in parts; what is absent is NaN."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.metrics.bootstrap import centred_interval, weight_chunks
from models.metrics.coco.average_precision import AREAS, HEADLINES, CocoFigures, coco_state, detection_limits
from models.metrics.coco.bootstrap import (
    affordable_replicates,
    resampled_figures,
    resampled_operations,
    weighted_figures,
)
from models.metrics.coco.image_results import ImageResult
from models.metrics.coco.matches import Matches
from models.metrics.coco.matching import match_images
from models.metrics.coco.ranking import rank_classes
from models.metrics.coco.thresholds import Verdicts, best_operation
from tests.unit.object_scenes import pycocotools_evaluation, scene_of, seeded_scenes

pytestmark = pytest.mark.slow

SEEDS = [*((seed, False) for seed in range(8)), *((seed, True) for seed in range(8, 12))]
CLASSES = 4
HERE, THERE = (10, 10, 60, 60), (100, 10, 150, 60)


def in_parts(
    scenes: Sequence[ImageResult], masks: bool = False, classes: int = CLASSES, most: int = 100
) -> CocoFigures:
    parts = [scenes[start : start + 7] for start in range(0, len(scenes), 7)]
    return CocoFigures.of([coco_state(part, range(classes), masks, most) for part in reversed(parts)])


def matches_in_parts(scenes: Sequence[ImageResult], masks: bool = False, most: int = 100) -> Matches:
    parts = [scenes[start : start + 5] for start in range(0, len(scenes), 5)]
    return Matches.joined([match_images(part, masks, most) for part in reversed(parts)])


def as_nan(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, np.nan, values)


@pytest.mark.parametrize(("seed", "masks"), SEEDS)
def test_all_numbers_are_those_of_pycocotools(seed: int, masks: bool) -> None:
    scenes = seeded_scenes(seed, masks=masks)
    figures = in_parts(scenes, masks)
    oracle = pycocotools_evaluation(scenes, CLASSES, masks)
    np.testing.assert_allclose(list(figures.headline().values()), as_nan(oracle.stats), atol=1e-9)
    np.testing.assert_allclose(figures.precision, as_nan(oracle.eval["precision"]), atol=1e-9)
    np.testing.assert_allclose(figures.recall, as_nan(oracle.eval["recall"]), atol=1e-9)
    np.testing.assert_allclose(figures.scores, as_nan(oracle.eval["scores"]), atol=1e-9)
    assert 0.02 < figures.headline()["map"] < 0.95


@pytest.mark.parametrize(("seed", "masks"), [(0, False), (9, True)])
def test_classes_have_the_numbers_of_pycocotools(seed: int, masks: bool) -> None:
    scenes = seeded_scenes(seed, masks=masks)
    by_class = in_parts(scenes, masks).by_class()
    oracle = pycocotools_evaluation(scenes, CLASSES, masks).eval
    for class_id in range(CLASSES):
        precision = oracle["precision"][:, :, class_id, 0, -1]
        assert by_class["map"][class_id] == pytest.approx(precision.mean(), abs=1e-9)
        assert by_class["map_50"][class_id] == pytest.approx(precision[0].mean(), abs=1e-9)
        assert by_class["map_75"][class_id] == pytest.approx(precision[5].mean(), abs=1e-9)
        assert by_class["mar_100"][class_id] == pytest.approx(oracle["recall"][:, class_id, 0, -1].mean(), abs=1e-9)


@pytest.mark.parametrize("most", [1, 10, 50, 258])
def test_other_numbers_of_detections_count_as_in_pycocotools(most: int) -> None:
    scenes = seeded_scenes(3)
    figures = in_parts(scenes, most=most)
    limits = detection_limits(most)
    oracle = pycocotools_evaluation(scenes, CLASSES, limits=limits).eval
    np.testing.assert_allclose(figures.precision, as_nan(oracle["precision"]), atol=1e-9)
    np.testing.assert_allclose(figures.recall, as_nan(oracle["recall"]), atol=1e-9)
    headline = figures.headline()
    assert headline["map"] == pytest.approx(oracle["precision"][..., 0, -1].mean(), abs=1e-9)
    assert headline["mar_100"] == pytest.approx(oracle["recall"][..., 0, limits.index(min(100, most))].mean(), abs=1e-9)


@pytest.mark.parametrize(("seed", "masks"), SEEDS)
def test_every_detection_is_matched_as_by_pycocotools(seed: int, masks: bool) -> None:
    scenes = seeded_scenes(seed, masks=masks)
    matches = matches_in_parts(scenes, masks)
    oracle = pycocotools_evaluation(scenes, CLASSES, masks)
    seen = 0
    for row in oracle.evalImgs:
        if row is None:
            continue
        area = list(AREAS.values()).index(tuple(row["aRng"]))
        image = np.searchsorted(matches.image_ids, row["image_id"])
        of = np.flatnonzero((matches.images == image) & (matches.class_ids == row["category_id"] - 1))
        np.testing.assert_array_equal(matches.scores[of], row["dtScores"])
        for threshold in range(10):
            bits = (matches.matched[of, area] >> threshold) & 1
            np.testing.assert_array_equal(bits, row["dtMatches"][threshold] > 0)
            bits = (matches.ignored[of, area] >> threshold) & 1
            np.testing.assert_array_equal(bits, row["dtIgnore"][threshold])
        seen += len(of)
    assert seen == 4 * len(matches.scores)


@pytest.mark.parametrize(("seed", "masks"), SEEDS)
def test_an_unweighted_bootstrap_has_the_very_figures(seed: int, masks: bool) -> None:
    scenes = seeded_scenes(seed, masks=masks)
    figures, matches = in_parts(scenes, masks), matches_in_parts(scenes, masks)
    weights = np.ones((len(scenes), 2))
    weighted = weighted_figures(list(rank_classes(matches, range(CLASSES))), weights, figures.limits)
    for name, value in figures.headline().items():
        np.testing.assert_allclose(weighted[name], value, atol=1e-9, err_msg=name)


def test_a_replicate_measures_what_pycocotools_does_of_the_images_drawn() -> None:
    scenes = seeded_scenes(4)
    counts = np.random.default_rng(5).multinomial(len(scenes), np.full(len(scenes), 1 / len(scenes)))
    drawn = [scene for scene, count in zip(scenes, counts, strict=True) for _ in range(count)]
    renumbered = [
        ImageResult(number, scene.size, scene.targets, scene.predictions) for number, scene in enumerate(drawn)
    ]
    rankings = list(rank_classes(matches_in_parts(scenes), range(CLASSES)))
    weighted = weighted_figures(rankings, counts[:, None].astype(np.float64), (1, 10, 100))
    oracle = pycocotools_evaluation(renumbered, CLASSES)
    for name, value in zip(HEADLINES, oracle.stats, strict=True):
        assert weighted[name][0] == pytest.approx(value, abs=1e-9), name


def test_a_bootstrap_is_repeatable_and_its_interval_holds_the_figure() -> None:
    scenes = seeded_scenes(2)
    matches, value = matches_in_parts(scenes), in_parts(scenes).headline()["map"]
    first, again = (resampled_figures(matches, range(CLASSES), (1, 10, 100), 50, seed=1)["map"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    low, high = centred_interval(value, first)
    assert low < value < high
    alone = resampled_figures(matches, range(CLASSES), (1, 10, 100), 50, seed=1, areas=1)
    assert "map_small" not in alone
    np.testing.assert_array_equal(alone["map"], first)


@pytest.mark.parametrize("seed", [4, 5, 7])
def test_every_replicate_chooses_the_score_with_its_best_f1(seed: int) -> None:
    scenes = seeded_scenes(seed, images=9)
    verdicts = Verdicts.of(matches_in_parts(scenes))
    found = resampled_operations(verdicts, len(scenes), 20, seed=3)
    draws = np.concatenate(list(weight_chunks(len(scenes), 20, seed=3)))
    for counts, replicate in zip(draws, found, strict=True):
        times = [counts[verdicts.images]] * 4 + [counts[verdicts.target_images]] * 2
        columns: list[Any] = [np.repeat(column, often) for column, often in zip(verdicts, times, strict=True)]
        assert replicate.tolist() == pytest.approx(best_operation(Verdicts(*columns))[1:], abs=1e-12)


def test_replicates_without_anything_right_are_nought_and_without_targets_nan() -> None:
    wrong = [scene_of([(HERE, 0)], [(THERE, 0, 0.9)], number) for number in (1, 2)]
    assert resampled_operations(Verdicts.of(matches_in_parts(wrong)), 2, 3, seed=0).tolist() == [[0, 0, 0]] * 3
    unknown = [scene_of([], [(THERE, 0, 0.9)], number) for number in (1, 2)]
    assert np.isnan(resampled_operations(Verdicts.of(matches_in_parts(unknown)), 2, 3, seed=0)).all()


def test_without_images_all_replicates_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counting(rankings: Any, weights: Any, limits: Any, areas: int) -> dict[str, Any]:
        drawn.append(weights.shape[1])
        return weighted_figures(rankings, weights, limits, areas)

    monkeypatch.setattr("models.metrics.coco.bootstrap.weighted_figures", counting)
    assert np.isnan(resampled_figures(match_images([], False), range(80), (1, 10, 100), 1000, seed=0)["map"]).all()
    assert drawn == [1000]


def test_an_image_that_is_there_twice_is_refused() -> None:
    twice = [scene_of([(HERE, 0)], [], image_id) for image_id in (7, 3, 7)]
    with pytest.raises(ValueError, match="the image 7 is there twice"):
        matches_in_parts(twice)


def test_replicates_shrink_with_the_number_of_objects() -> None:
    assert affordable_replicates(30_000, 1000) == 1000
    assert affordable_replicates(500_000, 1000) == 120
    assert affordable_replicates(50_000_000, 1000) == 100
    assert affordable_replicates(50_000_000, 20) == 20


def test_duplicate_detection_counts_as_false_positive() -> None:
    box = (10, 10, 60, 60)
    twice = [scene_of([(box, 0), ((100, 100, 150, 150), 0)], [(box, 0, 0.9), (box, 0, 0.8)])]
    # One of two is found, at precision 1: 51 of 101 recalls are reached.
    assert in_parts(twice, classes=1).headline()["map"] == pytest.approx(51 / 101)
    later = [
        scene_of([(box, 0), ((100, 100, 150, 150), 0)], [(box, 0, 0.9), (box, 0, 0.8), ((100, 100, 150, 150), 0, 0.7)])
    ]
    # The second one is found as the third detection: precision 2/3 for the other 50 recalls.
    assert in_parts(later, classes=1).headline()["map"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_what_is_found_in_a_crowd_does_not_count() -> None:
    scene = scene_of(
        [((10, 10, 60, 60), 0), ((100, 100, 200, 200), 0)],
        [((110, 110, 130, 130), 0, 0.95), ((10, 10, 60, 60), 0, 0.9)],
        crowds=[False, True],
    )
    assert in_parts([scene], classes=1).headline()["map"] == pytest.approx(1)


def test_absent_classes_and_sizes_are_nan_and_left_out_of_means() -> None:
    box = (10, 10, 60, 60)  # 2500 pixels: medium
    figures = in_parts([scene_of([(box, 0)], [(box, 0, 0.9), (box, 1, 0.9)])], classes=2)
    headline = figures.headline()
    assert [headline[name] for name in ("map", "map_medium", "mar_100")] == pytest.approx([1, 1, 1])
    assert all(math.isnan(headline[name]) for name in ("map_small", "map_large", "mar_small", "mar_large"))
    assert figures.by_class()["map"][0] == pytest.approx(1)
    assert math.isnan(figures.by_class()["map"][1])
    matches = match_images([scene_of([(box, 0)], [(box, 0, 0.9)])], False)
    drawn = resampled_figures(matches, range(2), (1, 10, 100), 10, seed=0)
    assert np.isnan(drawn["map_small"]).all()
    assert centred_interval(math.nan, drawn["map_small"]) == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_nothing_known_is_nan_and_nothing_found_is_zero() -> None:
    box = (10, 10, 60, 60)
    assert all(math.isnan(value) for value in in_parts([scene_of([], [(box, 0, 0.5)])]).headline().values())
    missed = in_parts([scene_of([(box, 0)], [])]).headline()
    assert missed["map"] == missed["mar_100"] == 0
    empty = CocoFigures.of([coco_state([], range(3), False)])
    assert all(math.isnan(value) for value in empty.headline().values())


def test_the_area_is_that_of_the_file_and_not_of_the_box() -> None:
    box = (10.0, 10.0, 110.0, 110.0)  # 10,000 pixels: large
    scene = scene_of([(box, 0)], [(box, 0, 0.9)])
    scene.targets.areas[:] = 900.0
    headline = in_parts([scene], classes=1).headline()
    assert headline["map_small"] == pytest.approx(1)
    assert math.isnan(headline["map_large"])


def test_masks_that_are_missing_are_told() -> None:
    scene = scene_of([((10, 10, 60, 60), 0)], [])
    with pytest.raises(ValueError, match="boxes only"):
        coco_state([scene], [0], masks=True)
    with pytest.raises(ValueError, match="boxes only"):
        match_images([scene], masks=True)


def test_no_detections_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        detection_limits(0)
    assert detection_limits(1) == (1,)
    assert detection_limits(20) == (1, 10, 20)
    assert detection_limits(100) == (1, 10, 100)
    assert detection_limits(258) == (1, 10, 100, 258)
