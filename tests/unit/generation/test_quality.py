"""Precision, recall and diversity on points whose neighbours are known; the judge's features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from models.catalog.generators import load_judge
from models.classification.small_networks import LeNet5
from models.generation.evaluation import HeldOut
from models.generation.judge import Judgement
from models.generation.neighbours import covered, spread, squared_distances
from models.generation.quality import diversities, quality

pytestmark = pytest.mark.usefixtures("one_thread")

LINE = np.arange(10.0)[:, None]  # each point reaches to its third neighbour: 2 inside, 3 at both ends


def test_an_image_is_covered_where_it_lies_within_the_third_neighbours_distance_of_another() -> None:
    assert covered(np.array([[-3.0], [-3.1], [4.5], [12.0], [12.1]]), LINE) == pytest.approx(3 / 5)


def test_images_that_are_all_the_same_have_full_precision_and_little_recall() -> None:
    same = np.full((10, 1), 4.5)
    assert covered(same, LINE) == 1
    assert covered(LINE, same) == 0
    assert spread(same) == 0


def test_spread_is_the_mean_distance_of_pairs() -> None:
    assert spread(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])) == pytest.approx((5 + 3 + 4) / 3)


def test_distances_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((20, 84)), rng.standard_normal((30, 84))
    np.testing.assert_allclose(squared_distances(first, second), cdist(first, second) ** 2, rtol=1e-9)


def test_too_few_others_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 3 images"):
        covered(LINE, LINE[:3])


def test_the_diversity_of_a_class_is_relative_to_the_real_images_of_that_class() -> None:
    real = np.array([[0.0], [2.0], [10.0], [14.0]])
    made = np.array([[0.5], [1.5], [12.0], [12.0], [99.0]])
    found = diversities(made, np.array([0, 0, 1, 1, 2]), real, np.array([0, 0, 1, 1]))
    assert found == {0: pytest.approx(0.5), 1: 0.0}


def judgement(features: NDArray[np.float64], class_ids: NDArray[np.int64]) -> Judgement:
    return Judgement(features.astype(np.float32), class_ids)


def test_one_image_again_and_again_shows_in_every_figure_but_precision() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(2), 50)
    real = judgement(rng.standard_normal((100, 3)) + 6 * truth[:, None], truth)
    collapsed = judgement(np.repeat(np.array([[0.1, 0, 0], [6.1, 6, 6]]), 50, axis=0), truth)
    again = judgement(rng.standard_normal((100, 3)) + 6 * truth[:, None], truth)
    bad, good = quality(collapsed, truth, real, truth), quality(again, truth, real, truth)
    assert bad["least_diversity"] == bad["recall"] == 0
    assert good["least_diversity"] > 0.8
    assert good["recall"] > 0.8
    assert bad["precision"] == 1
    assert bad["agreement"] == good["agreement"] == 1
    assert bad["fid"] > 1.5 > 0.5 > good["fid"]


def test_neighbours_are_looked_up_in_every_class_of_many_images() -> None:
    rng = np.random.default_rng(4)
    truth = np.repeat(np.arange(10), 300)  # sorted by class, more than are looked at
    features = rng.standard_normal((3000, 2)) + 20 * truth[:, None]
    real, made = judgement(features, truth), judgement(features[::-1], truth[::-1])
    assert quality(made, truth[::-1], real, truth)["recall"] > 0.9


def test_agreement_is_the_share_of_images_with_the_asked_class() -> None:
    rng = np.random.default_rng(2)
    real = judgement(rng.standard_normal((20, 2)), np.repeat(np.arange(2), 10))
    seen = judgement(rng.standard_normal((20, 2)), np.array([0] * 8 + [1] * 12))
    assert quality(seen, real.class_ids, real, real.class_ids)["agreement"] == 0.9


def test_the_features_of_the_judge_are_the_last_hidden_layer_of_lenet5() -> None:
    judge = load_judge("mnist")
    network = judge._network  # pyright: ignore[reportPrivateUsage]
    assert isinstance(network, LeNet5)
    images = np.random.default_rng(3).integers(256, size=(3, 28, 28), dtype=np.uint8)
    found = judge.look_at(images)
    assert found.features.shape == (3, 84)
    with torch.no_grad():
        logits = network.classifier[-1](torch.as_tensor(found.features))
        whole = network(torch.as_tensor(images)[:, None].float().expand(-1, 3, -1, -1) / 127.5 - 1)
    torch.testing.assert_close(logits, whole)
    assert found.class_ids.tolist() == whole.argmax(1).tolist()


@pytest.mark.parametrize("name", ["yolo-digits", "mnist-1d", "efficientnet-lite0"])
def test_only_a_classifier_of_images_with_a_card_judges(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot judge images"):
        load_judge(name)


def test_a_judge_that_does_not_know_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="mnist cannot judge images of 'ten'; it knows 0, 1"):
        HeldOut.of(load_judge("mnist"), np.zeros((2, 28, 28), np.uint8), np.array([0, 1]), ("0", "ten"))
