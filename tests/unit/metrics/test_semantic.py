# pyright: reportArgumentType=false

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import f1_score, jaccard_score

from models.metrics.boundaries import boundary, boundary_iou, boundary_overlap, reach
from models.metrics.confusion import confusion_matrix
from models.metrics.semantic import Overlap, image_iou, semantic_figures

UNKNOWN = 255


def overlap_of(target: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int) -> Overlap:
    return Overlap.of(confusion_matrix(target, prediction, classes, UNKNOWN))


def figures_of(target: list[int], prediction: list[int], classes: int) -> dict[str, float]:
    overlap = overlap_of(np.array(target, np.uint8), np.array(prediction, np.uint8), classes)
    return {name: float(value) for name, value in semantic_figures(overlap).items()}


def test_figures_by_hand() -> None:
    """Of the background 3 of 5 pixels in target or prediction are in both; of class 1 2 of 4."""
    figures = figures_of([0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0], 2)
    assert figures["miou"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert figures["iou"] == 2 / 4
    assert figures["dice"] == pytest.approx(2 * 2 / (3 + 3))
    assert figures["pixel_accuracy"] == pytest.approx(5 / 7)
    assert figures["fwiou"] == pytest.approx((4 * 3 / 5 + 3 * 2 / 4) / 7)


def test_what_nobody_knows_counts_for_nothing() -> None:
    known = figures_of([0, 0, 1, 1], [0, 1, 1, 1], 2)
    assert figures_of([0, 0, 1, 1, UNKNOWN, UNKNOWN], [0, 1, 1, 1, 0, 1], 2) == known


def test_an_absent_class_is_nan_and_left_out_of_means_even_where_it_was_predicted() -> None:
    overlap = overlap_of(np.array([0, 0, 1, 1], np.uint8), np.array([0, 2, 1, 1], np.uint8), 4)
    assert np.isnan(overlap.iou()).tolist() == [False, False, True, True]
    assert np.isnan(overlap.dice()).tolist() == [False, False, True, True]
    assert semantic_figures(overlap)["miou"] == (1 / 2 + 1) / 2
    assert semantic_figures(overlap)["iou"] == 1


def test_a_class_that_was_missed_altogether_is_nought() -> None:
    assert figures_of([0, 1], [0, 0], 2)["iou"] == 0


def test_where_only_background_is_known_the_figures_of_classes_are_nan() -> None:
    figures = figures_of([0, 0], [0, 0], 2)
    assert figures["miou"] == 1
    assert np.isnan([figures["iou"], figures["dice"]]).all()


def test_where_nothing_is_known_all_is_nan() -> None:
    assert np.isnan(list(figures_of([UNKNOWN], [1], 2).values())).all()


def test_figures_of_random_maps_are_scikit_learns() -> None:
    drawing = np.random.default_rng(0)
    target, prediction = drawing.integers(0, 4, (2, 30, 40)).astype(np.uint8)
    overlap = overlap_of(target, prediction, 4)
    flat = target.ravel(), prediction.ravel()
    assert overlap.iou() == pytest.approx(jaccard_score(*flat, average=None), abs=1e-12)
    assert overlap.dice() == pytest.approx(f1_score(*flat, average=None), abs=1e-12)
    expected = jaccard_score(*flat, average="weighted")
    assert overlap.frequency_weighted_iou() == pytest.approx(expected, abs=1e-12)


def test_a_single_image_is_judged_by_the_classes_in_its_target_or_prediction() -> None:
    maps = [([0, 1, 1], [0, 1, 2]), ([0, 0, 0], [0, 0, 0]), ([0, 0, 0], [0, 0, 1]), ([UNKNOWN] * 3, [1, 1, 1])]
    confusions = [confusion_matrix(np.array(target), np.array(prediction), 3, UNKNOWN) for target, prediction in maps]
    quality = image_iou(Overlap.of(np.stack(confusions)))
    assert quality[:3].tolist() == [(1 / 2 + 0) / 2, 1, 0]
    assert np.isnan(quality[3])


def near_by_definition(covered: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Whether a covered pixel has one that is not, or is outside, at most `pixels` rows and columns away."""
    height, width = covered.shape
    near = np.zeros_like(covered)
    for row, column in np.argwhere(covered):
        around = [
            0 <= r < height and 0 <= c < width and covered[r, c]
            for r in range(row - pixels, row + pixels + 1)
            for c in range(column - pixels, column + pixels + 1)
        ]
        near[row, column] = not all(around)
    return near


@pytest.mark.parametrize("pixels", [1, 2, 3, 6, 20])
def test_the_boundary_of_random_masks_is_that_of_the_definition(pixels: int) -> None:
    noise = np.random.default_rng(pixels).random((17, 23))
    covered = ndimage.gaussian_filter(noise, 3) > 0.48
    assert np.array_equal(boundary(covered, pixels), near_by_definition(covered, pixels))
    eroded = ndimage.binary_erosion(covered, np.ones((3, 3)), iterations=pixels)
    assert np.array_equal(boundary(covered, pixels), covered & ~eroded)


def test_near_is_a_fiftieth_of_the_diagonal_and_a_pixel_at_least() -> None:
    assert reach((300, 400)) == 10
    assert reach((3, 4)) == 1


def test_boundary_overlap_by_hand() -> None:
    """A square of 6 in an image of 12 × 16 (reach 1): 20 pixels are its boundary, of which a shift by 1 keeps 10."""
    target, prediction = np.zeros((2, 12, 16), np.uint8)
    target[3:9, 3:9], prediction[3:9, 4:10] = 1, 1
    counts = boundary_overlap(target, prediction, 2, UNKNOWN)
    assert counts[1].tolist() == [10, 30]
    assert boundary_iou(counts[:, 0], counts[:, 1], np.array([156, 36]))[1] == pytest.approx(1 / 3)


def test_boundary_overlap_of_random_maps_is_that_of_the_definition() -> None:
    drawing = np.random.default_rng(3)
    layers = ndimage.gaussian_filter(drawing.random((2, 4, 60, 80)), (0, 0, 5, 5))
    target, prediction = layers.argmax(1).astype(np.uint8)
    counts = boundary_overlap(target, prediction, 4, UNKNOWN)
    for class_id in range(4):
        near = [near_by_definition(class_map == class_id, 2) for class_map in (target, prediction)]
        assert counts[class_id].tolist() == [(near[0] & near[1]).sum(), (near[0] | near[1]).sum()]


def test_what_nobody_knows_makes_no_outline_and_is_not_counted() -> None:
    target, prediction = np.zeros((2, 60, 80), np.uint8)
    target[20:40, 20:40] = prediction[20:40, 20:40] = 1
    target[:, 38:44] = UNKNOWN  # over the right edge of the object
    counts = boundary_overlap(target, prediction, 2, UNKNOWN)
    assert counts[1, 0] == counts[1, 1] == 20 * 18 - 16 * 16  # reach 2; nothing at the right
    prediction[20:40, 40:43] = 1
    assert np.array_equal(boundary_overlap(target, prediction, 2, UNKNOWN), counts)


def test_a_class_that_is_nowhere_has_no_boundary_and_an_invented_one_is_nan() -> None:
    target = np.zeros((10, 10), np.uint8)
    prediction = target.copy()
    prediction[2:5, 2:5] = 1
    counts = boundary_overlap(target, prediction, 3, UNKNOWN)
    assert counts[1].tolist() == [0, 8]
    assert counts[2].tolist() == [0, 0]
    assert np.isnan(boundary_iou(counts[:, 0], counts[:, 1], np.array([100, 0, 0]))).tolist() == [False, True, True]
