"""Generators: images follow from seed and class alone, cards are checked, and nothing is imported before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.catalog.cards import write_card
from models.catalog.loading import load
from models.entries import CatalogEntry, WeightsSource
from models.entries.latent_preprocessing import LatentPreprocessing
from models.errors import BrokenCard, NonFiniteOutput
from models.generation.image_generator import ImageGenerator
from models.generation.latents import draw_latents
from models.generation.networks import DCGAN, Discriminator, Generator
from models.parameters import GenerationParameters
from models.runtime import Runtime

pytestmark = pytest.mark.usefixtures("one_thread")

CARD = CatalogEntry(
    name="shapes",
    version="1",
    task="generation",
    architecture=DCGAN,
    weights=WeightsSource("card", "", None, "CC0", "made for a test"),
    preprocessing=LatentPreprocessing(5, 28, 28),
    class_count=3,
    licence="Apache-2.0",
    accuracy=(),
    description="Nothing in particular.",
    defaults={"truncation": 1.0},
    class_names=("circle", "square", "star"),
    arguments={"latent_size": 5, "width": 2},
)


def untrained() -> Generator:
    torch.manual_seed(0)
    network = Generator(3, 5, 2)
    for name, parameter in network.named_parameters():
        if "gains" in name or "biases" in name:
            nn.init.normal_(parameter)  # so that classes differ
    return network.eval()


@pytest.fixture
def generator() -> ImageGenerator:
    return ImageGenerator(CARD, CARD.class_names or (), Runtime().resolve(), untrained(), "")


def test_latent_vectors_are_the_same_on_every_machine() -> None:
    vectors, class_ids = draw_latents(GenerationParameters(seed=2**53 - 1, count=3), 4, 10)
    np.testing.assert_allclose(
        vectors[:2],
        [[0.64828, -1.357482, 1.413081, 1.258348], [-0.262075, -0.194196, -1.046115, 0.237874]],
        atol=1e-6,
    )
    assert class_ids.tolist() == [4, 0, 5]


def test_image_k_of_a_seed_does_not_depend_on_count_class_or_torchs_generator(generator: ImageGenerator) -> None:
    torch.manual_seed(1)
    three = generator.generate(GenerationParameters(2, seed=7, count=3)).images()
    torch.manual_seed(2)
    nine = generator.generate(GenerationParameters(2, seed=7, count=9)).images()
    assert np.array_equal(three, nine[:3])
    drawn, _ = draw_latents(GenerationParameters(None, seed=7, count=3), 5, 3)
    given, _ = draw_latents(GenerationParameters(2, seed=7, count=3), 5, 3)
    assert np.array_equal(drawn, given)


def test_an_image_does_not_depend_on_the_other_requests_of_a_batch(generator: ImageGenerator) -> None:
    asked = [GenerationParameters(class_id, seed, 5) for class_id, seed in ((0, 1), (1, 2), (2, 3))]
    inputs = [generator.draw(parameters) for parameters in asked]
    together = generator.postprocess(generator.forward(inputs), inputs, asked)
    alone = [generator.generate(parameters) for parameters in asked]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(together, alone, strict=True))


def test_seeds_classes_and_truncation_change_the_image(generator: ImageGenerator) -> None:
    first = generator.generate(GenerationParameters(0, seed=1)).pixels
    for other in (
        GenerationParameters(0, seed=2),
        GenerationParameters(1, seed=1),
        GenerationParameters(0, seed=1, truncation=0.5),
    ):
        assert not np.array_equal(first, generator.generate(other).pixels)


def test_truncation_scales_the_latent_vectors() -> None:
    whole, _ = draw_latents(GenerationParameters(0, count=4), 8, 10)
    half, _ = draw_latents(GenerationParameters(0, count=4, truncation=0.5), 8, 10)
    np.testing.assert_allclose(half, whole / 2)


def test_latent_vectors_are_standard_normal_and_drawn_classes_even() -> None:
    drawn = [draw_latents(GenerationParameters(seed=seed, count=64), 64, 10) for seed in range(40)]
    vectors, class_ids = np.concatenate([one for one, _ in drawn]), np.concatenate([one for _, one in drawn])
    assert vectors.mean() == pytest.approx(0, abs=0.01)
    assert vectors.std() == pytest.approx(1, abs=0.01)
    assert np.abs(np.corrcoef(vectors, rowvar=False) - np.eye(64)).max() < 0.1
    assert np.bincount(class_ids, minlength=10).min() > 200


def test_several_images_are_one_grid_with_black_cells_after_the_last(generator: ImageGenerator) -> None:
    picture = generator.generate(GenerationParameters(1, seed=3, count=7))
    assert picture.pixels.shape == (3 * 28, 3 * 28, 3)
    assert picture.images().shape == (7, 28, 28, 3)
    assert picture.class_ids == (1,) * 7
    assert not picture.pixels[56:, 28:].any()


def test_the_input_says_how_many_images_and_pixels_it_makes(generator: ImageGenerator) -> None:
    drawn = generator.draw(GenerationParameters(0, count=6))
    assert (drawn.view_count, drawn.pixel_count, drawn.image_size) == (6, 6 * 28 * 28, (28, 28))


def test_a_class_that_the_model_does_not_have_is_refused(generator: ImageGenerator) -> None:
    with pytest.raises(ValueError, match="class_id must be from 0 to 2, not 3"):
        generator.draw(GenerationParameters(3))


def test_images_are_not_read(generator: ImageGenerator) -> None:
    with pytest.raises(ValueError, match="shapes takes no image"):
        generator.predict([b"x"])


def test_weights_that_give_nan_are_an_error_and_no_image(generator: ImageGenerator) -> None:
    broken = untrained()
    nn.init.constant_(broken.project.weight, float("nan"))
    model = ImageGenerator(CARD, generator.class_names, Runtime().resolve(), broken, "")
    with pytest.raises(NonFiniteOutput):
        model.generate(GenerationParameters(0))


def test_a_card_is_written_and_loaded_with_the_same_images(catalog: Path) -> None:
    write_card(catalog, CARD, untrained().state_dict(), exact=True)
    loaded = load("shapes")
    assert isinstance(loaded, ImageGenerator)
    asked = GenerationParameters(2, seed=5, count=4)
    expected = ImageGenerator(CARD, loaded.class_names, Runtime().resolve(), untrained(), "").generate(asked)
    assert np.array_equal(loaded.generate(asked).pixels, expected.pixels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preprocessing": LatentPreprocessing(6, 28, 28)}, "arguments.latent_size must be preprocessing.latent_size"),
        ({"preprocessing": LatentPreprocessing(5, 32, 32)}, "height and width must be 28 for dcgan"),
        ({"architecture": "stylegan"}, "architecture must be one of dcgan, not 'stylegan'"),
        ({"arguments": {"depth": 3}}, "dcgan cannot be built with arguments"),
    ],
)
def test_a_card_that_does_not_suit_the_network_is_refused(
    catalog: Path, changes: dict[str, object], message: str
) -> None:
    write_card(catalog, replace(CARD, **changes), untrained().state_dict())
    with pytest.raises(BrokenCard, match=message):
        load("shapes")


def test_the_discriminator_has_one_score_an_image_that_depends_on_the_class() -> None:
    network = Discriminator(3, 2).eval()
    images = torch.rand(4, 1, 28, 28)
    one, other = network(images, torch.zeros(4, dtype=torch.int64)), network(images, torch.ones(4, dtype=torch.int64))
    assert one.shape == (4,)
    assert not torch.allclose(one, other)


def test_loading_another_model_imports_no_generator() -> None:
    code = (
        "import sys; from models.catalog.loading import load; load('mnist'); import json; "
        "print(json.dumps([name for name in sys.modules if name.startswith('models.gen')]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == []
