"""An image for which a network gives NaN or infinity fails alone, by name, and is no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.adapter import ClassificationParameters, ModelInput
from models.catalog import find
from models.classification.classifier import Classifier
from models.errors import NotANumber
from models.forwarding import forward_apart
from models.runtime import Runtime
from services.image_problem import Problem
from services.local_answers import local_answers
from tests.unit.gateway_fakes import png

DARK, BRIGHT = png(10, (32, 32)), png(255, (32, 32))


class Overflowing(nn.Module):
    """Gives infinity for bright images."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Linear(3, 1000)

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return self.layer(means) / (means.amax(1, keepdim=True) < 0.9).float()


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    names = tuple(map(str, range(1000)))
    return Classifier(find("efficientnet-lite0"), names, Runtime(precision="fp32"), Overflowing().eval(), "d")


def inputs(classifier: Classifier, *images: bytes) -> list[ModelInput]:
    return [classifier.preprocess(classifier.decode(image)) for image in images]


def test_network_names_the_images_that_it_gives_no_number_for(classifier: Classifier):
    with pytest.raises(NotANumber) as caught:
        classifier.forward(inputs(classifier, DARK, BRIGHT, DARK, BRIGHT))
    assert caught.value.images == (1, 3)


def test_rest_of_a_batch_is_run_without_them(classifier: Classifier):
    batch = inputs(classifier, BRIGHT, DARK, BRIGHT, DARK)
    raw = forward_apart(classifier, batch)
    assert [isinstance(one, NotANumber) for one in raw] == [True, False, True, False]
    np.testing.assert_allclose(raw[3], classifier.forward(batch[3:])[0], rtol=1e-5)
    assert all(isinstance(one, NotANumber) for one in forward_apart(classifier, batch[:1]))


def test_evaluation_is_told_of_such_an_image_and_measures_the_others(classifier: Classifier):
    images = [DARK, BRIGHT, DARK]
    dark, bright, again = local_answers(images, lambda image: image, classifier, ClassificationParameters(3))
    assert bright.body == Problem("not_a_number", "the network's output is not a finite number")
    assert not isinstance(dark.body, Problem) and dark.body == again.body
    assert all(math.isfinite(row["probability"]) for row in dark.body["predictions"])
