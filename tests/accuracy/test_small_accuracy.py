"""The bundled classifiers of small images still recognise what their cards say, on images that were held out."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.catalog.loading import load
from models.catalog.lookup import bundled, find
from models.datasets.opening import open_dataset
from models.datasets.samples import ClassTarget, Sample
from models.runtime import Runtime
from tests.checkout import SHARED_DATA

LEAST = {"mnist": 0.985, "cifar10": 0.88}
"""Top-1 accuracy on the whole val split."""
BATCH = 100
SIDE = 700


def held_out(model: str, limit: int | None = None) -> list[Sample]:
    if not (SHARED_DATA / model).is_dir():
        pytest.skip(f"needs the held-out images of {model}/")
    data = open_dataset(str(SHARED_DATA / model), "classification", limit)
    return [data.load(index) for index in range(len(data))]


def top1(model: str, samples: list[Sample], images: list[bytes], runtime: Runtime | None = None) -> float:
    adapter = load(model, runtime or Runtime())
    batches = [adapter.predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    found = [int(prediction.class_ids[0]) for batch in batches for prediction in batch]
    targets = [sample.target.class_id for sample in samples if isinstance(sample.target, ClassTarget)]
    return float(np.mean(np.array(found) == np.array(targets)))


def on_paper(image: bytes, scale: float) -> bytes:
    """A digit as a photo of dark ink on light, unevenly lit paper: a large JPEG."""
    side = round(scale * SIDE)
    digit = Image.open(BytesIO(image)).convert("L").resize((side, side), Image.Resampling.BICUBIC)
    digit = ImageOps.expand(digit, (SIDE - side) // 2)
    light = np.linspace(-40, 40, SIDE)[None, :] + np.linspace(-20, 20, SIDE)[:, None]
    ink = np.asarray(digit, np.float64) / 255
    pixels = ((215 + light) * (1 - ink) + 50 * ink).clip(0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.mark.parametrize("model", LEAST)
def test_the_whole_val_split_gives_the_recorded_accuracy(model: str) -> None:
    if model not in bundled():
        pytest.skip(f"{model} is not bundled")
    samples = held_out(model)
    recorded = next(figure.value for figure in find(model).accuracy if figure.metric == "top1")
    images = [sample.image for sample in samples]
    for runtime in (Runtime(), Runtime(precision="fp32")):
        found = top1(model, samples, images, runtime)
        assert found == pytest.approx(recorded, abs=0.004)
        assert found >= LEAST[model]


@pytest.mark.parametrize(("scale", "least"), [(1.0, 0.95), (0.7, 0.8)])
def test_digits_in_dark_ink_on_light_paper_are_read_too(scale: float, least: float) -> None:
    samples = held_out("mnist", 200)
    assert top1("mnist", samples, [on_paper(sample.image, scale) for sample in samples]) >= least


def test_inverted_digits_are_read_as_well() -> None:
    samples = held_out("mnist", 200)
    inverted: list[bytes] = []
    for sample in samples:
        file = BytesIO()
        ImageOps.invert(Image.open(BytesIO(sample.image)).convert("L")).save(file, "PNG")
        inverted.append(file.getvalue())
    assert top1("mnist", samples, inverted) >= 0.97
