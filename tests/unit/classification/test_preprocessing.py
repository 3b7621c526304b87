"""Resize and crop do what Pillow and torchvision's own transforms do, to a rounding error, on any shape."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from models.entries import Interpolation, Preprocessing
from models.imaging.crop import resize_and_crop
from tests.photos import photo

KERNELS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def preprocessing(interpolation: Interpolation = "bicubic", resize: int = 256, crop: int = 224) -> Preprocessing:
    return Preprocessing(resize, crop, interpolation, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("interpolation", KERNELS)
@pytest.mark.parametrize("size", [(300, 450), (450, 300), (100, 80), (512, 512), (256, 384)])
def test_it_matches_pillow(interpolation, size):
    image = photo("chelsea").resize(size[::-1])
    scale = 256 / min(size)
    resized = image.resize((int(size[1] * scale), int(size[0] * scale)), KERNELS[interpolation])
    left, top = (resized.width - 224) // 2, (resized.height - 224) // 2
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224)), int)
    got = resize_and_crop(np.array(image), preprocessing(interpolation))
    assert got.shape == (224, 224, 3) and got.dtype == np.uint8 and got.flags.c_contiguous
    assert np.abs(got - expected).max() <= 2


def test_it_matches_torchvisions_centre_crop_where_the_margins_are_even():
    pixels = np.array(photo("chelsea").resize((384, 256)))
    expected = functional.center_crop(torch.as_tensor(pixels).permute(2, 0, 1), [224, 224]).permute(1, 2, 0)
    assert np.array_equal(resize_and_crop(pixels, preprocessing()), expected.numpy())


@pytest.mark.parametrize("size", [(1, 1), (1, 3_000_000), (3_000_000, 1), (7, 5000), (2, 3)])
def test_an_extreme_shape_gives_a_full_crop_in_little_memory(size):
    pixels = np.full((*size, 3), 77, np.uint8)
    assert np.all(resize_and_crop(pixels, preprocessing()) == 77)


def test_the_middle_of_a_long_strip_is_what_is_kept():
    pixels = np.zeros((100, 2000, 3), np.uint8)
    pixels[:, 900:1100] = 200
    assert resize_and_crop(pixels, preprocessing(resize=100, crop=100)).min() == 200
