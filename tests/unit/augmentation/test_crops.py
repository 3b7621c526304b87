"""Augmentation of classifiers averages torchvision's ten crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import TenCrop

from models.augmentation.augmented import AugmentedInput
from models.augmentation.choice import augmented
from models.augmentation.classification import AugmentedClassifier
from models.classification.classifier import Classifier
from models.entries import Preprocessing
from models.execution.executor import executor_for
from models.imaging.crop import resize_and_crop
from models.imaging.decoding import DecodedImage
from models.parameters import ClassificationParameters
from models.runtime import Runtime
from tests.unit.fake_entries import fake_entry

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
NAMES = ("left", "right", "red")


class Sides(nn.Module):
    """Tells which half of an image is brighter."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        half = images.shape[3] // 2
        left, right = images[..., :half].mean((1, 2, 3)), images[..., half:].mean((1, 2, 3))
        return torch.stack([left, right, images[:, 0].mean((1, 2)) / 2], 1) / 20


def classifier(resize: int = 40, crop: int = 32, flip: float | None = None) -> Classifier:
    training = {} if flip is None else {"augmentation": {"flip": flip}}
    preprocessing = Preprocessing(resize, crop, "bilinear", ZERO, ONE)
    entry = fake_entry("classification", preprocessing, NAMES, training=training)
    runtime = Runtime(precision="fp32", backend="torch").resolve()
    return Classifier(entry, NAMES, runtime, executor_for(Sides().eval(), entry.image_preprocessing, runtime), "0" * 64)


def noise(height: int, width: int) -> DecodedImage:
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return DecodedImage(pixels, (height, width))


def views_of(model: Classifier, image: DecodedImage) -> AugmentedInput:
    adapter = augmented(model)
    assert isinstance(adapter, AugmentedClassifier)
    return adapter.preprocess(image)


@pytest.mark.parametrize("size", [(40, 58), (58, 40), (44, 40)])
def test_views_are_the_ten_crops_of_torchvision(size: tuple[int, int]):
    """Of sizes whose centre is no matter of rounding."""
    image = noise(*size)
    crops = TenCrop(32)(torch.from_numpy(image.pixels).permute(2, 0, 1))
    wanted = {crop.permute(1, 2, 0).contiguous().numpy().tobytes() for crop in crops}
    views = views_of(classifier(), image).views
    assert {view.pixels.tobytes() for view in views} == wanted
    assert len(views) == 10 and {view.image_size for view in views} == {size}


def test_first_view_is_the_usual_input():
    model, image = classifier(), noise(90, 120)
    assert isinstance(model.entry.preprocessing, Preprocessing)
    usual = resize_and_crop(image.pixels, model.entry.preprocessing)
    assert np.array_equal(views_of(model, image).views[0].pixels, usual)


def test_crops_that_coincide_are_predicted_once():
    assert len(views_of(classifier(32, 32), noise(32, 32)).views) == 2
    assert len(views_of(classifier(32, 32), noise(32, 50)).views) == 6


@pytest.mark.parametrize(("resize", "flip", "most"), [(40, None, 10), (40, 0.0, 5), (32, None, 6), (32, 0.0, 3)])
def test_view_count_is_that_of_the_image_with_most_views(resize: int, flip: float | None, most: int):
    model = classifier(resize, flip=flip)
    adapter = augmented(model)
    assert adapter is not None and adapter.view_count == most
    sizes = [(32, 32), (32, 50), (50, 32), (90, 120), (64, 64)]
    assert max(len(views_of(model, noise(*size)).views) for size in sizes) == most


def test_model_that_never_saw_mirror_images_gets_none():
    assert len(views_of(classifier(flip=0.0), noise(50, 60)).views) == 5
    assert len(views_of(classifier(flip=0.5), noise(50, 60)).views) == 10


def test_probabilities_are_averaged_over_the_views():
    model, image = classifier(), noise(44, 60)
    adapter = augmented(model)
    assert adapter is not None
    item = adapter.preprocess(image)
    alone = np.concatenate([model.forward([view]) for view in item.views])
    (found,) = adapter.postprocess(adapter.forward([item]), [item], [ClassificationParameters(3, augment=True)])
    assert np.allclose(found.probabilities, np.sort(alone.mean(0))[::-1], atol=1e-6)
    left, right = (found.probabilities[found.class_ids.tolist().index(side)] for side in (0, 1))
    assert left == pytest.approx(right, abs=1e-6)  # which the mirror images make equal


def test_batch_is_split_into_runs_of_at_most_so_many_views():
    model = classifier()
    runs: list[int] = []
    forward = model.forward
    model.forward = lambda inputs: (runs.append(len(inputs)), forward(inputs))[1]  # type: ignore[method-assign]
    adapter = augmented(model, max_batch_size=8)
    assert adapter is not None
    items = [adapter.preprocess(noise(50, 60)), adapter.preprocess(noise(60, 50))]
    assert len(adapter.forward(items)) == 2
    assert runs == [8, 8, 4]
