import numpy as np
import pytest

from models.metrics.calibration import BINS, bin_edges, bins_of, expected_calibration_error, reliability


def error_of(confidences: list[float], right: list[bool]) -> float:
    bins, told, correct = bins_of(np.array(confidences), bin_edges()), np.array(confidences), np.array(right)
    sums = [np.bincount(bins, amounts, minlength=BINS) for amounts in (told, correct, None)]
    return float(expected_calibration_error(*sums))


def test_a_bin_has_its_upper_edge_and_the_first_has_nought() -> None:
    edges = bin_edges(5)
    assert bins_of(np.array([0.0, 0.1, 0.2, 0.21, 0.4, 1.0]), edges).tolist() == [0, 0, 0, 1, 1, 4]


def test_a_model_that_is_right_as_often_as_it_says_has_no_error() -> None:
    assert error_of([0.75] * 4, [True, True, True, False]) == 0


def test_the_error_is_weighted_by_the_images_of_a_bin() -> None:
    """Three images at 0.9 of which one is right, and one at 0.5 that is right: (3 × |1/3 - 0.9| + |1 - 0.5|) / 4."""
    assert error_of([0.9, 0.9, 0.9, 0.5], [True, False, False, True]) == pytest.approx((3 * 0.9 - 1 + 0.5) / 4)


def test_errors_to_both_sides_cancel_within_a_bin_only() -> None:
    assert error_of([0.95, 0.97, 0.95, 0.97], [True, True, True, False]) == pytest.approx(0.96 - 0.75)
    assert error_of([0.5, 0.9], [True, False]) == pytest.approx((0.5 + 0.9) / 2)


def test_the_error_of_random_answers_is_that_of_a_loop() -> None:
    drawing = np.random.default_rng(0)
    confidences, right = drawing.random(500), drawing.random(500) < 0.6
    expected = 0.0
    for low, high in zip(bin_edges()[:-1], bin_edges()[1:], strict=True):
        inside = (confidences > low) & (confidences <= high)
        expected += inside.mean() * abs(right[inside].mean() - confidences[inside].mean())
    assert error_of(confidences.tolist(), right.tolist()) == pytest.approx(expected, abs=1e-12)


def test_without_images_the_error_is_nan() -> None:
    assert np.isnan(error_of([], []))


def test_a_reliability_diagram_has_nan_in_empty_bins() -> None:
    found = reliability(np.array([0.3, 0.5, 0.9]), np.array([False, True, True]), bin_edges(2))
    assert found.count.tolist() == [2, 1]
    assert found.confidence.tolist() == pytest.approx([0.4, 0.9])
    assert found.accuracy.tolist() == pytest.approx([0.5, 1])
    empty = reliability(np.array([0.9]), np.array([True]), bin_edges(2))
    assert np.isnan([empty.confidence[0], empty.accuracy[0]]).all()
