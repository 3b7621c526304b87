"""Adapters keep nothing between calls: several threads at once get what one gets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from models.catalog.loading import load
from models.geometry.masks import Mask
from models.runtime import Runtime
from tests.unit.hosted_answers import photo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

STREAMS = 2


def as_lists(prediction: Any) -> list[Any]:
    """All that a prediction holds, to be compared."""
    values = [getattr(prediction, field.name) for field in fields(prediction)]
    return [value.tolist() if isinstance(value, np.ndarray) else _plain(value) for value in values]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], Mask):
        return [mask.to_coco() for mask in value]
    return value


@pytest.mark.parametrize(
    "name", ["efficientnet-lite0", "yolo-person", "faster-rcnn-person", "unet-person", "mask-rcnn-person"]
)
def test_threads_that_run_one_adapter_at_once_get_the_answers_of_one(name: str):
    adapter = load(name, Runtime(precision="fp32"))
    adapter.warm_up(1)
    images = [photo(size) for size in ((256, 256), (300, 180), (150, 200))]
    expected = [as_lists(adapter.predict([image])[0]) for image in images]
    start = threading.Barrier(STREAMS)

    def run(first: int) -> list[tuple[int, list[Any]]]:
        start.wait(20)
        order = [(first + n) % len(images) for n in range(2 * len(images))]
        return [(index, as_lists(adapter.predict([images[index]])[0])) for index in order]

    with ThreadPoolExecutor(STREAMS) as pool:
        for answers in pool.map(run, range(STREAMS)):
            for index, answer in answers:
                assert answer == expected[index]
