"""A model replica with the proposals of requests: a two-stage network of random weights, without Ray around it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.catalog.cards import write_card
from models.catalog.loading import load
from models.catalog.lookup import find
from models.detection.architectures import build_detector
from models.parameters import DetectionParameters
from models.request_adapter import adapter_for
from models.runtime import Runtime
from services.answers.wire import Item, describe_prediction
from services.deployments.host import ModelHost
from services.settings import read_settings
from tests.unit.detector_cards import write_detector
from tests.unit.hosted_answers import answer_of, photo

TWO_STAGES, ONE_STAGE = "two-stages", "finds-anything"
DEFAULTS: dict[str, Any] = {"score_threshold": 0.01, "iou_threshold": 0.5, "max_detections": 20, "class_ids": None}
BOXES = ((2.0, 3.0, 40.0, 50.0), (10.0, 0.0, 60.0, 64.0))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelHost]:
    folder = write_detector(tmp_path_factory.mktemp("catalog"), ONE_STAGE).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        patch.setenv("TAPETUM_CATALOG", str(folder))
        _write_two_stages(folder)
        read_settings.cache_clear()
        config = {"name": "Detector", "task": "detection", "models": [TWO_STAGES, ONE_STAGE], "num_threads": 1}
        yield ModelHost({**config, "max_batch_size": 8, "precision": "fp32"})
    read_settings.cache_clear()


def _write_two_stages(folder: Path) -> None:
    torch.manual_seed(3)
    network = build_detector("faster-rcnn-efficientnet-lite0", 3, {})
    like = find(ONE_STAGE)
    entry = replace(like, name=TWO_STAGES, architecture="faster-rcnn-efficientnet-lite0", card=None)
    write_card(folder, entry, network.state_dict())


def item(model: str = TWO_STAGES, size: tuple[int, int] = (64, 64), **parameters: Any) -> Item:
    return Item(model, photo(size), {**DEFAULTS, **parameters}, time.time() + 60)


async def test_images_of_all_families_in_one_call_get_their_own_answers(host: ModelHost):
    families: list[dict[str, Any]] = [
        {},
        {"proposals": BOXES, "family": "fast-rcnn"},
        {"proposals": BOXES, "family": "rcnn"},
        {"proposals": BOXES[:1], "family": "fast-rcnn"},
        {"proposals": BOXES[:1], "family": "rcnn"},
    ]
    outcomes = await host.predict([item(**family) for family in families * 2])
    adapter = load(TWO_STAGES, Runtime("cpu", "fp32"))
    for family, outcome in zip(families * 2, outcomes, strict=True):
        parameters = DetectionParameters(**{**DEFAULTS, **family})
        (found,) = adapter_for(adapter, None, parameters).predict([photo((64, 64))], parameters)
        wanted = describe_prediction(found, adapter.class_names, parameters)["predictions"]
        scores = [[row["score"] for row in rows] for rows in (answer_of(outcome)["predictions"], wanted)]
        assert scores[0] == pytest.approx(scores[1], abs=0.01)


async def test_a_box_outside_the_image_fails_alone(host: ModelHost):
    beyond = item(proposals=((0.0, 0.0, 65.0, 10.0),), family="rcnn")
    first, second = await host.predict([beyond, item(proposals=BOXES, family="rcnn")])
    assert first.failure is not None
    assert (first.failure.status, first.failure.code) == (422, "invalid_parameters")
    assert first.failure.message == ("proposals: box 0 reaches beyond the image, which is 64 pixels high and 64 wide")
    assert "image" in answer_of(second)


async def test_a_model_of_one_stage_refuses_proposals(host: ModelHost):
    (outcome,) = await host.predict([item(ONE_STAGE, proposals=BOXES, family="fast-rcnn")])
    assert outcome.failure is not None and outcome.failure.code == "invalid_parameters"
    assert outcome.failure.message == f"proposals: {ONE_STAGE} has one stage; proposals need a two-stage detector"
