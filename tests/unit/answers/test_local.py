"""An image for which a network gives NaN or infinity fails alone, by name, and is no answer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.catalog.lookup import find
from models.classification.classifier import Classifier
from models.execution.executor import executor_for
from models.parameters import ClassificationParameters
from models.runtime import Runtime
from services.answers.image_problem import Problem
from services.answers.local import local_answers
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


def test_image_without_numbers_is_told_of_and_the_others_are_answered():
    names = tuple(map(str, range(1000)))
    entry, runtime = find("efficientnet-lite0"), Runtime(precision="fp32").resolve()
    executor = executor_for(Overflowing().eval(), entry.image_preprocessing, runtime)
    classifier = Classifier(entry, names, runtime, executor, "d")
    images = [DARK, BRIGHT, DARK]
    dark, bright, again = local_answers(images, lambda image: image, classifier, ClassificationParameters(3))
    assert bright.body == Problem("non_finite_output", "the model gave numbers that are not finite")
    assert not isinstance(dark.body, Problem) and dark.body == again.body
    assert all(math.isfinite(row["probability"]) for row in dark.body["predictions"])
