"""EfficientNet-Lite0 is wired right, and its fast defaults answer as the slow way does, on a sample of ImageNet."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.adapter import ModelInput
from models.catalog.loading import load
from models.runtime import Runtime
from tests.checkout import SHARED_DATA

SAMPLE = SHARED_DATA / "imagenet-sample"
BATCH = 4
pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="the ImageNet sample is not beside the project")


@pytest.fixture(scope="module")
def labels():
    return json.loads((SAMPLE / "labels.json").read_text())


@pytest.fixture(scope="module")
def photos(labels):
    return [(SAMPLE / "images" / name).read_bytes() for name in labels]


@pytest.fixture(scope="module")
def adapter():
    return load("efficientnet-lite0")


def top5(adapter, encodings):
    answers = [adapter.predict(encodings[start : start + BATCH]) for start in range(0, len(encodings), BATCH)]
    return np.array([answer.class_ids for batch in answers for answer in batch])


def plain_top1(encodings):
    """The slow way: Pillow decodes in full and resizes; eager fp32."""
    adapter = load("efficientnet-lite0", Runtime(precision="fp32", fuse=False, channels_last=False))
    inputs = [plain_input(data) for data in encodings]
    probabilities = [adapter.forward(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
    return np.concatenate(probabilities).argmax(axis=1)


def plain_input(data):
    image = Image.open(BytesIO(data)).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return ModelInput(np.array(image.crop((left, top, left + 224, top + 224))), (image.height, image.width))


def enlarged(data):
    """The photo at six times its size, so that it is decoded at a smaller scale and resized."""
    image, buffer = Image.open(BytesIO(data)).convert("RGB"), BytesIO()
    image.resize((6 * image.width, 6 * image.height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def test_accuracy_on_the_imagenet_sample(adapter, labels, photos):
    targets = np.array(list(labels.values()))
    predicted = top5(adapter, photos)
    assert np.mean(predicted[:, 0] == targets) >= 0.87
    assert np.mean((predicted == targets[:, None]).any(axis=1)) >= 0.96


def test_the_fast_defaults_agree_with_the_slow_way(adapter, photos):
    assert np.mean(top5(adapter, photos)[:, 0] == plain_top1(photos)) >= 0.99


def test_a_scaled_decode_agrees_with_the_slow_way(adapter, photos):
    large = [enlarged(data) for data in photos[::4]]
    assert np.mean(top5(adapter, large)[:, 0] == plain_top1(large)) >= 0.99
