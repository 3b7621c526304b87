import math

import numpy as np
import pytest

from models.metrics.bootstrap import centred_interval, interval, resampled_sums, weight_chunks


def test_every_draw_has_as_many_images_as_there_are() -> None:
    (weights,) = weight_chunks(7, 50, seed=1)
    assert weights.shape == (50, 7)
    assert set(weights.sum(1)) == {7}
    assert weights.max() > 1 and weights.min() == 0


def test_the_size_of_chunks_does_not_change_the_draws() -> None:
    (whole,) = weight_chunks(7, 50, seed=1)
    pieces = list(weight_chunks(7, 50, seed=1, chunk_bytes=3 * 2 * 7))
    assert [len(piece) for piece in pieces] == [3] * 16 + [2]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_another_seed_draws_others() -> None:
    assert not np.array_equal(next(weight_chunks(7, 50, seed=1)), next(weight_chunks(7, 50, seed=2)))


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more, not -1"):
        next(weight_chunks(-1, 3, seed=0))


def test_sums_of_a_draw_are_those_of_the_images_in_it() -> None:
    values = np.arange(12).reshape(3, 2, 2)
    (weights,) = weight_chunks(3, 20, seed=4)
    expected = [sum((values[place] * times for place, times in enumerate(row)), np.zeros((2, 2))) for row in weights]
    assert np.array_equal(resampled_sums(values, 20, seed=4), np.array(expected))


def test_without_images_there_are_draws_of_nothing() -> None:
    assert np.array_equal(resampled_sums(np.zeros((0, 3)), 4, seed=0), np.zeros((4, 3)))


def test_the_interval_leaves_out_as_much_below_as_above() -> None:
    assert interval(np.arange(1001) / 1000) == pytest.approx((0.025, 0.975))
    assert interval(np.arange(1001) / 1000, level=0.5) == pytest.approx((0.25, 0.75))


def test_replicates_without_the_figure_are_left_out_up_to_half_of_them() -> None:
    assert interval(np.array([0.25, 0.25, math.nan, math.nan])) == (0.25, 0.25)
    assert np.isnan(interval(np.array([0.25, math.nan, math.nan]))).all()
    assert np.isnan(interval(np.zeros(0))).all()


def test_a_level_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, not 95"):
        interval(np.ones(3), level=95)


def test_a_centred_interval_has_the_width_of_the_replicates_and_the_place_of_the_figure() -> None:
    replicates = np.linspace(0.6, 0.8, 1001)
    assert centred_interval(0.5, replicates) == pytest.approx((0.405, 0.595))
    assert centred_interval(0.95, replicates) == pytest.approx((0.855, 1.0))
    assert np.isnan(centred_interval(math.nan, replicates)).all()
    assert np.isnan(centred_interval(0.5, np.full(10, np.nan))).all()


def test_the_interval_of_a_share_is_as_wide_as_theory_says() -> None:
    """1.96 standard errors of a share to each side: √(0.8 × 0.2 / 400) = 0.02."""
    right = np.arange(400) < 320
    low, high = centred_interval(0.8, resampled_sums(right, 4000, seed=0) / 400)
    assert (low, high) == pytest.approx((0.8 - 1.96 * 0.02, 0.8 + 1.96 * 0.02), abs=0.003)


def test_95_of_100_intervals_hold_the_true_share() -> None:
    drawing = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        right = drawing.random(100) < 0.7
        low, high = centred_interval(float(right.mean()), resampled_sums(right, 200, seed=trial) / 100)
        held += low <= 0.7 <= high
    assert 0.91 < held / 200 < 0.98
