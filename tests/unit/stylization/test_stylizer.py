import io

import numpy as np
import pytest
import torch
from PIL import Image

from models.entries import CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.execution.executor import executor_for
from models.parameters import StyleParameters
from models.runtime import Runtime
from models.stylization.adapter import Stylizer
from models.stylization.network import STYLE_NETWORK, StyleNetwork

LEVELS = (127.5, 127.5, 127.5)
ENTRY = CatalogEntry(
    name="painter",
    version="1",
    task="stylization",
    architecture=STYLE_NETWORK,
    weights=WeightsSource("none", "", None, "Apache-2.0", "this project"),
    preprocessing=LetterboxPreprocessing(96, 96, LEVELS, LEVELS, stride=4, enlarge=False),
    class_count=1,
    licence="Apache-2.0",
    accuracy=(),
    description="",
    class_names=("picture",),
    defaults={"strength": 1.0},
)


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    torch.manual_seed(0)
    runtime = Runtime("cpu", "fp32", backend="torch").resolve()
    network = StyleNetwork(16, 1).eval()
    return Stylizer(ENTRY, ("picture",), runtime, executor_for(network, ENTRY.image_preprocessing, runtime), "")


def encoded(mode: str, size: tuple[int, int], image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(file, image_format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "image_format"), [("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")]
)
def test_photos_of_every_mode_are_stylized_at_their_size(stylizer: Stylizer, mode: str, image_format: str) -> None:
    (picture,) = stylizer.predict([encoded(mode, (50, 31), image_format)])
    assert picture.pixels.shape == (31, 50, 3)


def test_turned_photo_is_answered_upright(stylizer: Stylizer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (picture,) = stylizer.predict([encoded("RGB", (50, 30), "JPEG", exif=exif)])
    assert picture.pixels.shape == (50, 30, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (7, 3)])
def test_tiny_photos_are_stylized(stylizer: Stylizer, size: tuple[int, int]) -> None:
    (picture,) = stylizer.predict([encoded("RGB", size, "PNG")])
    assert picture.pixels.shape == (size[1], size[0], 3)


def test_large_photo_is_answered_at_the_limit_of_the_card(stylizer: Stylizer) -> None:
    (picture,) = stylizer.predict([encoded("RGB", (400, 200), "JPEG")])
    assert picture.pixels.shape == (48, 96, 3)


def test_strength_mixes_photo_and_style(stylizer: Stylizer) -> None:
    data = encoded("RGB", (40, 40), "PNG")
    none, half, full = (
        stylizer.predict([data], StyleParameters(strength))[0].pixels.astype(float) for strength in (0.0, 0.5, 1.0)
    )
    assert (none == stylizer.decode(data).pixels).all()
    assert np.abs(half - (none + full) / 2).max() <= 1


def test_photos_of_one_size_share_a_batch_and_keep_their_pictures(stylizer: Stylizer) -> None:
    files = [encoded("RGB", (40, 40), "PNG") for _ in range(2)]
    inputs = [stylizer.preprocess(stylizer.decode(data)) for data in files]
    assert inputs[0].batch_key == inputs[1].batch_key
    together = stylizer.postprocess(stylizer.forward(inputs), inputs, [StyleParameters()] * 2)
    for picture, data in zip(together, files, strict=True):
        alone = stylizer.predict([data])[0]
        assert np.abs(picture.pixels.astype(int) - alone.pixels.astype(int)).max() <= 1
