from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import WeightsUnavailable
from models.stylization.gatys import Frame, StyleOptimisation, StyleSettings
from models.stylization.perceptual import LossWeights
from models.stylization.stained_glass import stained_glass

PHOTO: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
SETTINGS = StyleSettings(steps=12)


def optimised(settings: StyleSettings) -> list[Frame]:
    optimisation = StyleOptimisation(PHOTO, stained_glass(64), settings)
    return [optimisation.advance(4) for _ in range(3)]


def test_losses_fall_and_the_picture_has_the_size_of_the_photo() -> None:
    frames = optimised(SETTINGS)
    assert frames[-1].total < frames[0].total
    assert frames[-1].step == 12
    assert frames[-1].pixels.shape == PHOTO.shape


@pytest.mark.parametrize("start", ["content", "noise"])
def test_equal_seeds_give_equal_pictures(start: str) -> None:
    settings = replace(SETTINGS, start=start)
    assert (optimised(settings)[-1].pixels == optimised(settings)[-1].pixels).all()


def test_kept_colours_differ_in_luminance_only() -> None:
    photo = PHOTO // 4 + 96
    found = (
        StyleOptimisation(photo, stained_glass(64), replace(SETTINGS, keep_colours=True, weights=LossWeights(0.0)))
        .advance(6)
        .pixels
    )
    shift = found.astype(int) - photo.astype(int)
    assert np.abs(shift - shift[..., :1]).max() <= 1
    assert np.abs(shift).max() > 1


def test_photo_that_is_too_small_is_an_error_that_names_its_size() -> None:
    with pytest.raises(ValueError, match="the photo has 1 x 1 pixels: each side must have 16 or more"):
        StyleOptimisation(PHOTO[:1, :1], stained_glass(64), SETTINGS)


def test_vgg_without_weights_is_the_error_of_other_torchvision_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_weights(_: object) -> None:
        raise WeightsUnavailable("torchvision/vgg19", "no network")

    monkeypatch.setattr("models.stylization.perceptual.fetch", no_weights)
    with pytest.raises(WeightsUnavailable, match="torchvision/vgg19"):
        StyleOptimisation(PHOTO, stained_glass(64), replace(SETTINGS, features="vgg19"))
