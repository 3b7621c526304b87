"""A model replica with augmentation: real networks of random weights, without Ray around it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from models.augmentation.choice import augmented
from models.catalog.loading import load
from models.parameters import DetectionParameters
from models.runtime import Runtime
from services.answers.wire import Item, describe_prediction
from services.deployments.batcher import Batcher
from services.deployments.host import ModelHost
from services.settings import read_settings
from tests.unit.detector_cards import write_detector
from tests.unit.hosted_answers import answer_of, photo

MODEL = "finds-anything"
DEFAULTS: dict[str, Any] = {"score_threshold": 0.2, "iou_threshold": 0.5, "max_detections": 20, "class_ids": None}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelHost]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        patch.setenv("TAPETUM_CATALOG", str(write_detector(tmp_path_factory.mktemp("catalog"), MODEL).parent))
        read_settings.cache_clear()
        config = {"name": "Detector", "task": "detection", "models": [MODEL], "num_threads": 1}
        yield ModelHost({**config, "max_batch_size": 8, "precision": "fp32"})
    read_settings.cache_clear()


def item(image: bytes, **parameters: Any) -> Item:
    return Item(MODEL, image, {**DEFAULTS, **parameters}, time.time() + 60)


async def test_plain_and_augmented_images_of_one_batch_get_their_own_answers(host: ModelHost):
    images = [photo((64 + 8 * n, 64)) for n in range(3)]
    asked = [item(image, **({"augment": True} if augment else {})) for image in images for augment in (False, True)]
    answers = [answer_of(outcome) for outcome in await host.predict(asked)]
    adapter = load(MODEL, Runtime("cpu", "fp32"))
    for place, (image, augment) in enumerate([(image, augment) for image in images for augment in (False, True)]):
        parameters = DetectionParameters(**{**DEFAULTS, "augment": augment})
        chosen = augmented(adapter) if augment else adapter
        assert chosen is not None
        (found,) = chosen.predict([image], parameters)
        wanted = describe_prediction(found, adapter.class_names, parameters)
        assert answers[place]["image"] == wanted["image"]
        scores = [[row["score"] for row in one["predictions"]] for one in (answers[place], wanted)]
        assert scores[0] == pytest.approx(scores[1], abs=0.01) and len(scores[0]) > 0


async def test_bad_image_fails_alone_with_augmentation_too(host: ModelHost):
    good, bad = item(photo((64, 64)), augment=True), item(b"no image", augment=True)
    first, second, third = await host.predict([good, bad, good])
    assert second.failure is not None and second.failure.code == "unsupported_image"
    assert answer_of(first) == answer_of(third)


async def test_shadow_is_augmented_as_its_primary_is(host: ModelHost):
    usual = item(photo((64, 64)), augment=True)
    (primary,), (shadow,) = await host.predict([usual]), await host.predict([usual._replace(is_shadow=True)])
    assert answer_of(primary)["predictions"] == answer_of(shadow)["predictions"]


def test_replica_says_how_many_views_an_image_has(host: ModelHost):
    (described,) = host.describe()
    adapter = augmented(load(MODEL, Runtime("cpu", "fp32")))
    assert adapter is not None and described["augmented_views"] == adapter.view_count > 1


def test_items_of_many_passes_make_smaller_batches():
    """Eight images through the network at most: two items of four, or one of a hundred."""
    runs: list[list[str]] = []

    def run(_: Any, items: Any) -> list[str]:
        runs.append(list(items))
        return list(items)

    batcher: Batcher[str, list[str], str] = Batcher(
        run,
        lambda key, items, output: output,
        lambda key: None,
        max_batch_size=8,
        passes=lambda item: {"a": 4, "b": 100, "c": 1}[item[0]],
        batch_wait_timeout_s=0.05,
    )
    names = [f"{kind}{n}" for kind in "abc" for n in range(4)]
    futures = [batcher.submit(name, name[0]) for name in names]
    assert [future.result(10).result for future in futures] == names
    batcher.close()
    most = {"a": 2, "b": 1, "c": 8}
    assert all(len(one) <= most[one[0][0]] for one in runs)
    assert any(len(one) == 2 for one in runs if one[0][0] == "a")
