"""Requests with proposals in the counts of a gateway: expected wait, live accuracy, shadows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from services.answers.wire import Item, Outcome
from services.gateway.serving.model_calls import ModelCalls
from services.gateway.serving.predictor import PredictionRequest
from services.gateway.serving.queue_wait import QueueWait
from services.rollout.shadow import Shadow
from tests.unit.gateway.accuracy.feedback_fakes import error_of, tell
from tests.unit.gateway.test_canary_and_shadow import TwoVersions, stack, until
from tests.unit.gateway.test_detection import FakeDetector, detect
from tests.unit.gateway_fakes import MemoryCache, gateway, identified, png, sign

pytestmark = pytest.mark.slow

BOXES = ((0.0, 0.0, 1.0, 2.0), (1.0, 0.0, 2.0, 2.0), (0.0, 1.0, 3.0, 2.0))
PROPOSALS = json.dumps(BOXES)


class Model:
    """What a request needs of a served model."""

    def __init__(self) -> None:
        self.entry: dict[str, Any] = {}
        self.augmented_views = 6
        self.calls = ModelCalls(None, QueueWait(1), 1.0, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameters", "passes"),
    [
        ({"proposals": BOXES, "family": "rcnn"}, 3),
        ({"proposals": BOXES, "family": "fast-rcnn"}, 1),
        ({"augment": True}, 6),
        ({}, 1),
    ],
)
def test_each_crop_and_each_view_counts_as_an_image_in_the_expected_wait(parameters: dict[str, Any], passes: int):
    def complete(_: Mapping[str, Any]) -> dict[str, Any]:
        return parameters

    assert PredictionRequest.of(Model(), complete).calls.passes == passes  # type: ignore[arg-type]


async def test_answer_to_proposals_takes_no_feedback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", 0.0)
    truth: dict[str, Any] = {"objects": []}
    async with gateway(FakeDetector(), MemoryCache()) as client:
        plain, given = await detect(client), await detect(client, proposals=PROPOSALS)
        told = [await tell(client, answer.headers["x-request-id"], truth) for answer in (plain, given)]
    assert told[0].status_code == 200, told[0].text
    assert error_of(told[1]) == (404, "unknown_answer")
    assert "or its request gave proposals" in told[1].json()["error"]["message"]


class TwoDetectors(TwoVersions):
    """Two versions of a detector that find nothing."""

    def entry_of(self, version: str) -> dict[str, Any]:
        shared = {key: FakeDetector.entry[key] for key in ("task", "class_names", "defaults")}
        return identified({**super().entry_of(version), **shared})

    def outcome_of(self, item: Item) -> Outcome:
        body = {"image": {"height": 2, "width": 3}, "predictions": []}
        return sign(item, Outcome(orjson.dumps(body), None, {}), self.entry_of(item.version))


async def test_shadow_sees_no_request_with_proposals():
    backend = TwoDetectors()
    async with stack(backend) as made:
        await made.change(shadow=Shadow(version="2", share=1))
        assert (await detect(made.client, png(1), model="net", proposals=PROPOSALS)).status_code == 200
        assert (await detect(made.client, png(2), model="net")).status_code == 200
        await until(lambda: bool(backend.shadowed))
    assert [item.image for item in backend.shadowed] == [png(2)]
