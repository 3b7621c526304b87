"""The Fréchet distance against closed forms and scipy's matrix square root."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm

from models.generation.fid import Gaussian, fid, frechet_distance


def random_gaussian(seed: int, size: int, rank: int) -> Gaussian:
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((size, rank))
    return Gaussian(rng.standard_normal(size), factor @ factor.T)


def test_the_distance_of_diagonal_gaussians_is_the_closed_form() -> None:
    first = Gaussian(np.array([0.0, 1.0, 5.0]), np.diag([4.0, 9.0, 0.0]))
    second = Gaussian(np.array([3.0, 1.0, 1.0]), np.diag([1.0, 25.0, 16.0]))
    by_hand = (9 + 0 + 16) + (2 - 1) ** 2 + (3 - 5) ** 2 + (0 - 4) ** 2
    assert frechet_distance(first, second) == pytest.approx(by_hand, rel=1e-12)


def test_the_distance_of_one_dimension_is_that_of_means_and_deviations() -> None:
    first, second = Gaussian(np.array([1.0]), np.array([[2.25]])), Gaussian(np.array([-1.0]), np.array([[0.25]]))
    assert frechet_distance(first, second) == pytest.approx(2.0**2 + (1.5 - 0.5) ** 2)


@pytest.mark.parametrize("size", [2, 10, 84])
def test_the_distance_is_that_of_scipys_matrix_square_root(size: int) -> None:
    first, second = random_gaussian(0, size, size + 5), random_gaussian(1, size, size + 5)
    root: Any = sqrtm(first.covariance @ second.covariance)
    oracle = float(
        np.square(first.mean - second.mean).sum() + np.trace(first.covariance + second.covariance - 2 * root.real)
    )
    assert frechet_distance(first, second) == pytest.approx(oracle, rel=1e-9)


def test_covariances_without_an_inverse_give_a_number_and_zero_to_themselves() -> None:
    flat = random_gaussian(2, 84, 10)  # ten images in 84 dimensions
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-5)
    other = Gaussian(flat.mean, np.zeros((84, 84)))
    assert frechet_distance(flat, other) == pytest.approx(float(np.trace(flat.covariance)))


def test_the_distance_does_not_depend_on_the_order() -> None:
    first, second = random_gaussian(3, 20, 8), random_gaussian(4, 20, 30)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-7)


def test_a_gaussian_has_the_mean_and_covariance_of_numpy() -> None:
    features = np.random.default_rng(5).normal(3, 2, (40, 6)).astype(np.float32)
    found = Gaussian.of(features)
    np.testing.assert_allclose(found.mean, features.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-10)


def test_shifted_features_are_as_far_apart_as_their_shift() -> None:
    features = np.random.default_rng(6).standard_normal((500, 4))
    assert fid(features, features + np.array([3.0, 0.0, 4.0, 0.0])) == pytest.approx(25.0)
    assert fid(features, features) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [(1, 4), (0, 4), (8,)])
def test_features_of_fewer_than_two_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two rows or more"):
        Gaussian.of(np.zeros(shape))
