"""What a model replica does, without Ray around it: real networks, though none of them was trained."""

from __future__ import annotations

import io
import os
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from PIL import Image

from models.adapter import ModelInput
from services.answers.wire import Item
from services.deployments.host import ModelHost
from services.deployments.hosted_model import NICENESS, start_thread
from services.settings import read_settings
from tests.unit.detector_cards import CLASSES, write_detector
from tests.unit.hosted_answers import answer_of, photo

MODEL = "finds-anything"
DEFAULTS = {"score_threshold": 0.4, "iou_threshold": 0.3, "max_detections": 20, "class_ids": None}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelHost]:
    """A replica whose batches hold two images of 64 × 64, or four of 64 × 32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        patch.setenv("TAPETUM_CATALOG", str(write_detector(tmp_path_factory.mktemp("catalog"), MODEL).parent))
        patch.setenv("TAPETUM_MAX_IMAGE_PIXELS", "60000000")
        read_settings.cache_clear()
        config = {"name": "Detector", "task": "detection", "models": [MODEL], "num_threads": 1}
        yield ModelHost({**config, "max_batch_size": 8, "max_batch_pixels": 2 * 64 * 64})
    read_settings.cache_clear()


def item(image: bytes, **parameters: Any) -> Item:
    return Item(MODEL, image, {**DEFAULTS, **parameters}, time.time() + 60)


async def test_images_of_many_shapes_get_their_own_answers_in_their_order(host: ModelHost):
    sizes = [(64 + 5 * n, chosen) for n in range(6) for chosen in (64, 128, 300)]
    outcomes = await host.predict([item(photo(size), max_detections=n + 1) for n, size in enumerate(sizes)])
    for n, (size, outcome) in enumerate(zip(sizes, outcomes, strict=True)):
        answer = answer_of(outcome)
        assert answer["image"] == {"height": size[1], "width": size[0]}
        assert 0 < len(answer["predictions"]) <= n + 1
        assert {"decode", "preprocess", "queue", "forward", "postprocess"} == set(outcome.stages_ms)


async def test_answer_does_not_depend_on_the_company(host: ModelHost):
    (alone,) = await host.predict([item(photo((100, 70)))])
    together = await host.predict([item(photo((100, 70))), item(photo((110, 77))), item(photo((100, 70)))])
    for outcome in (together[0], together[2]):
        pairs = zip(answer_of(alone)["predictions"], answer_of(outcome)["predictions"], strict=True)
        assert all(one["score"] == pytest.approx(other["score"], abs=0.01) for one, other in pairs)


async def test_bad_image_fails_alone(host: ModelHost):
    late = item(photo((64, 64)))._replace(deadline_s=time.time() - 1)
    outcomes = await host.predict([item(photo((64, 64))), item(b"no image"), late, item(photo((64, 64)))])
    codes = [outcome.failure and outcome.failure.code for outcome in outcomes]
    assert codes == [None, "unsupported_image", "out_of_time", None]
    assert answer_of(outcomes[0]) == answer_of(outcomes[3])


async def test_caps_on_images_are_those_of_the_settings(host: ModelHost):
    within, beyond = await host.predict([item(grey_jpeg(7200, 7200)), item(grey_jpeg(7200, 8400))])
    assert answer_of(within)["image"] == {"height": 7200, "width": 7200}, "more than 50 million pixels, the default"
    assert beyond.failure is not None
    assert (beyond.failure.code, beyond.failure.details["max_pixels"]) == ("image_too_large", 60_000_000)


def grey_jpeg(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), 127).save(file, "JPEG")
    return file.getvalue()


async def test_answers_are_signed_by_who_gave_them_and_described_to_whoever_expected_another(host: ModelHost):
    (described,) = host.describe()
    identity = bytes.fromhex(described["identity"])
    asked = [item(photo((64, 64)))._replace(identity=expected) for expected in (identity, b"another", b"")]
    known, unknown, unasked = await host.predict(asked)
    assert {known.identity, unknown.identity, unasked.identity} == {identity}
    assert (known.described, unasked.described) == (None, None)
    assert unknown.described is not None and orjson.loads(unknown.described) == orjson.loads(orjson.dumps(described))


async def test_image_of_a_shadow_gets_the_same_answer_without_the_queue(host: ModelHost):
    request = item(photo((100, 70)))
    (answered,), (shadow,) = await host.predict([request]), await host.predict([request._replace(is_shadow=True)])
    assert answer_of(shadow) == answer_of(answered)
    assert shadow.identity == answered.identity
    assert "queue" not in shadow.stages_ms


async def test_parameters_are_those_of_each_request(host: ModelHost):
    image = photo((90, 90))
    every, signs, none = await host.predict(
        [
            item(image, max_detections=1000, iou_threshold=1.0),
            item(image, class_ids=(2,)),
            item(image, score_threshold=1.0),
        ]
    )
    assert {found["class_name"] for found in answer_of(every)["predictions"]} == set(CLASSES)
    assert {found["class_name"] for found in answer_of(signs)["predictions"]} == {"stop sign"}
    assert answer_of(none)["predictions"] == []


async def test_what_is_counted_of_an_answer_comes_along(host: ModelHost):
    found, nothing = await host.predict([item(photo((90, 90))), item(photo((90, 90)), score_threshold=1.0)])
    best = answer_of(found)["predictions"][0]
    assert found.summary == (best["class_id"], best["score"])
    assert nothing.summary == (None, 0.0)


async def test_batch_is_limited_in_pixels(host: ModelHost, monkeypatch: pytest.MonkeyPatch):
    batches: list[tuple[int, ...]] = []
    adapter = host._versions.serving()[0].adapter
    run = adapter.forward

    def forward(inputs: Sequence[ModelInput]) -> Any:
        batches.append((len(inputs), *inputs[0].pixels.shape))
        return run(inputs)

    monkeypatch.setattr(adapter, "forward", forward)
    await host.predict([item(photo((64, 64))) for _ in range(9)] + [item(photo((128, 64))) for _ in range(9)])
    assert sum(count for count, *_ in batches) == 18
    assert all(count * height * width <= 2 * 64 * 64 for count, height, width, _ in batches)
    assert max(count for count, height, *_ in batches if height == 64) == 2
    assert max(count for count, height, *_ in batches if height == 32) <= 4


def test_replica_describes_all_that_the_gateway_needs(host: ModelHost):
    (entry,) = host.describe()
    assert (entry["name"], entry["task"], entry["class_names"]) == (MODEL, "detection", list(CLASSES))
    assert entry["defaults"] == {"score_threshold": 0.4, "iou_threshold": 0.3, "max_detections": 20}
    assert [figure["metric"] for figure in entry["accuracy"]] == ["map", "map_50"]
    assert (entry["max_batch_size"], entry["max_batch_pixels"]) == (8, 8192)
    assert entry["training"]["epochs"] == 0
    assert orjson.dumps(entry)


@pytest.mark.skipif(platform.system() != "Linux", reason="priorities of threads are Linux's")
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("lowered", [0, NICENESS + 3])
def test_thread_that_computes_yields_to_the_gateway_and_needs_no_privilege_for_it(lowered: int):
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    before = min(own + lowered, 19)

    def run() -> int:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, before)
        start_thread(1)
        return os.getpriority(os.PRIO_PROCESS, thread)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(run).result() == max(before, NICENESS)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
