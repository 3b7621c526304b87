# pyright: reportArgumentType=false

import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)
from sklearn.metrics import confusion_matrix as reference_matrix
from sklearn.metrics import precision_recall_curve as sklearn_curve

from models.metrics.classification import ClassScores, top_k_accuracy
from models.metrics.confusion import confusion_matrix
from models.metrics.ratios import mean_of_known, share
from models.metrics.score_curves import precision_recall_curve, separation, sums_by_group

ONCE = np.ones((4, 1))


def scores_of(targets: list[int], predictions: list[int], classes: int) -> ClassScores:
    matrix = confusion_matrix(np.array(targets), np.array(predictions), classes)
    return ClassScores.of(matrix.diagonal(), matrix.sum(1), matrix.sum(0))


def test_top_k_counts_the_images_whose_class_is_among_the_first_k() -> None:
    ranks = np.array([0, 0, 1, 4, 5])
    assert top_k_accuracy(ranks, 1) == 2 / 5
    assert top_k_accuracy(ranks, 5) == 4 / 5
    assert np.isnan(top_k_accuracy(ranks[:0], 1))
    with pytest.raises(ValueError, match="k must be at least 1"):
        top_k_accuracy(ranks, 0)


def test_the_confusion_matrix_has_targets_in_rows() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_what_nobody_knows_is_not_in_the_confusion_matrix() -> None:
    matrix = confusion_matrix(np.array([[0, 255], [1, 255]]), np.array([[0, 1], [0, 7]]), 2, ignored=255)
    assert matrix.tolist() == [[1, 0], [1, 0]]


def test_a_confusion_matrix_of_more_pixels_than_a_block_is_scikit_learns() -> None:
    drawing = np.random.default_rng(0)
    targets, predictions = drawing.integers(0, 3, (2, 1100, 1000), np.uint8)
    expected = reference_matrix(targets.ravel(), predictions.ravel())
    assert np.array_equal(confusion_matrix(targets, predictions, 3), expected)


def test_class_ids_outside_and_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="a prediction is outside 0 to 1: 0 to 2"):
        confusion_matrix(np.array([0, 1]), np.array([0, 2]), 2)
    with pytest.raises(ValueError, match="a target is outside 0 to 1: -1 to 1"):
        confusion_matrix(np.array([-1, 1]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match=r"must have one shape"):
        confusion_matrix(np.zeros((1, 2), int), np.zeros((2, 1), int), 2)


def test_precision_recall_and_f1_by_hand() -> None:
    scores = scores_of([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2], 3)
    assert scores.precision.tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert scores.recall.tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert scores.macro()["f1_macro"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scores.weighted()["f1_weighted"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2 + 1) / 6)


def test_an_absent_class_is_nan_and_left_out_of_means_even_where_it_was_predicted() -> None:
    scores = scores_of([0, 0, 1], [0, 2, 1], 4)
    assert np.isnan(scores.recall).tolist() == [False, False, True, True]
    assert np.isnan(scores.precision).tolist() == [False, False, True, True]
    assert np.isnan(scores.f1).tolist() == [False, False, True, True]
    assert scores.macro()["recall_macro"] == (0.5 + 1) / 2
    assert scores.macro()["precision_macro"] == 1


def test_a_class_that_is_there_and_never_predicted_has_a_precision_of_nought() -> None:
    scores = scores_of([0, 1], [0, 0], 2)
    assert (scores.precision[1], scores.recall[1], scores.f1[1]) == (0, 0, 0)
    assert scores.macro()["precision_macro"] == (1 / 2 + 0) / 2
    assert scores.macro()["f1_macro"] == (2 / 3 + 0) / 2


def test_without_images_all_is_nan() -> None:
    scores = scores_of([], [], 2)
    assert all(np.isnan(value) for value in (scores.macro() | scores.weighted()).values())


@pytest.mark.parametrize("seed", range(5))
def test_class_scores_are_scikit_learns_over_the_classes_of_the_targets(seed: int) -> None:
    drawing = np.random.default_rng(seed)
    targets = drawing.choice([0, 1, 2, 5, 6], 40)
    predictions = np.where(drawing.random(40) < 0.5, targets, drawing.integers(0, 8, 40))
    scores = scores_of(targets.tolist(), predictions.tolist(), 8)
    for average in ("macro", "weighted"):
        expected = precision_recall_fscore_support(
            targets, predictions, labels=np.unique(targets), average=average, zero_division=0
        )
        found = scores.macro() if average == "macro" else scores.weighted()
        assert [float(value) for value in found.values()] == pytest.approx(expected[:3], abs=1e-12)


def test_average_precision_and_the_area_under_roc_by_hand() -> None:
    found = separation(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False]), ONCE)
    assert found.average_precision[0] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert found.roc_auc[0] == pytest.approx(3 / 4)


def test_equal_scores_are_one_threshold_and_half_a_success() -> None:
    found = separation(np.full(4, 0.5), np.array([True, False, False, False]), ONCE)
    assert found.average_precision[0] == 1 / 4
    assert found.roc_auc[0] == 1 / 2


def test_a_class_without_images_has_neither_and_one_of_all_images_has_no_roc() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert np.isnan(separation(scores, np.zeros(4, bool), ONCE)).all()
    of_all = separation(scores, np.ones(4, bool), ONCE)
    assert of_all.average_precision[0] == 1
    assert np.isnan(of_all.roc_auc[0])


@pytest.mark.parametrize("digits", [1, 6])
def test_weighted_figures_are_scikit_learns_with_sample_weights(digits: int) -> None:
    drawing = np.random.default_rng(digits)
    scores = np.round(drawing.random(150), digits).astype(np.float32)
    positive, weights = drawing.random(150) < 0.3, drawing.integers(0, 4, (150, 8)).astype(np.float64)
    found = separation(scores, positive, weights)
    for place in range(8):
        weighing = weights[:, place]
        assert found.average_precision[place] == pytest.approx(
            average_precision_score(positive, scores, sample_weight=weighing), abs=1e-12
        )
        assert found.roc_auc[place] == pytest.approx(roc_auc_score(positive, scores, sample_weight=weighing), abs=1e-12)


def test_a_replicate_that_lacks_the_class_has_no_figure() -> None:
    found = separation(np.array([0.9, 0.1]), np.array([True, False]), np.array([[1.0, 0.0], [1.0, 2.0]]))
    assert np.isnan(found.average_precision).tolist() == [False, True]
    assert np.isnan(found.roc_auc).tolist() == [False, True]


def test_a_curve_never_rises_and_tells_the_best_precision_from_its_recall_on() -> None:
    recall, precision = precision_recall_curve(np.array([0.9, 0.8, 0.7, 0.1]), np.array([False, True, True, False]))
    assert (len(recall), recall[0], recall[-1]) == (101, 0, 1)
    assert precision == pytest.approx(np.full(101, 2 / 3))
    recall, precision = precision_recall_curve(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
    assert precision[:51] == pytest.approx(np.ones(51))
    assert precision[51:] == pytest.approx(np.full(50, 2 / 3))


@pytest.mark.parametrize("digits", [1, 6])
def test_a_curve_is_scikit_learns_with_the_best_precision_from_each_recall_on(digits: int) -> None:
    drawing = np.random.default_rng(digits)
    positive = drawing.random(200) < 0.2
    scores = (drawing.random(200) * 0.7 + 0.3 * positive).round(digits).astype(np.float32)
    precisions, recalls, _ = sklearn_curve(positive, scores)
    recall, precision = precision_recall_curve(scores, positive)
    best = [precisions[:-1][recalls[:-1] >= at - 1e-12].max() for at in recall]
    assert precision == pytest.approx(best, abs=1e-12)


def test_where_nothing_is_positive_there_is_no_curve() -> None:
    assert [len(side) for side in precision_recall_curve(np.array([0.5]), np.array([False]))] == [0, 0]


def test_sums_by_group_add_weighted_amounts() -> None:
    weights = np.array([[1.0, 0.0], [1.0, 2.0], [1.0, 1.0]])
    assert sums_by_group(np.array([2, 0, 2]), 3, weights).tolist() == [[1, 2], [0, 0], [2, 1]]
    assert sums_by_group(np.array([2, 0, 2]), 3, weights, np.array([5, 7, 1])).tolist() == [[7, 14], [0, 0], [6, 1]]


def test_quotients_and_means_of_nothing_are_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(share(np.array([0, 1]), np.array([0, 2]))).tolist() == [True, False]
        assert np.isnan(mean_of_known(np.array([np.nan, np.nan])))
    assert mean_of_known(np.array([1.0, np.nan, 4.0]), np.array([2, 9, 1])) == 2
