"""`POST /v1/feedback`: the truth about earlier answers, of every kind of model, told once for each image."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks, Prediction, SemanticMask
from services.gateway.accuracy.feedback_store import MemoryStore
from services.gateway.openapi import ACCURACY_EXAMPLE, FEEDBACK_EXAMPLE, describe_feedback
from services.gateway.schemas import AccuracyOverview, FeedbackAnswer, FeedbackRequest
from tests.unit.gateway.accuracy.feedback_fakes import BOX, Cats, Street, error_of, figures, tell
from tests.unit.gateway.test_segmentation import FakeInstances, FakeSegmenter
from tests.unit.gateway_fakes import MemoryCache, broken_inside, classify, gateway, make_app, png, post

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_second_look")]

NO_IDS = np.zeros(0, np.int64)


async def test_class_is_right_by_name_or_id_or_one_of_equal_names():
    rights: list[tuple[int | str, float]] = [("tabby", 1.0), (0, 1.0), ("crane", 0.0), ("7", 0.0), (2, 0.0)]
    async with gateway(Cats(), MemoryCache()) as client:
        for name, right in rights:
            assert await figures(client, {"class": name}, "/v1/classify") == {"top1": right}
        overview = (await client.get("/v1/accuracy")).json()["models"][0]
    assert overview["name"] == "efficientnet-lite0"
    assert (overview["live"]["samples"], overview["live"]["figures"]) == (5, {"top1": 0.4})


async def test_answer_tells_its_request_and_the_window():
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await classify(client, png())).json()["request_id"]
        told = (await tell(client, request_id, {"class": "tabby"})).json()
    assert (told["model"], told["version"], told["request_id"], told["index"]) == (
        "efficientnet-lite0",
        "1",
        request_id,
        0,
    )
    assert (told["live"]["samples"], told["live"]["figures"]) == (1, {"top1": 1.0})


async def test_images_of_a_list_are_told_apart_and_errors_have_no_answer():
    files = [("image", png(1)), ("image", broken_inside()), ("image", png(2))]
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await client.post("/v1/classify", files=files)).json()["request_id"]
        first = await tell(client, request_id, {"class": "tabby"}, index=0)
        third = await tell(client, request_id, {"class": "crane"}, index=2)
        broken = await tell(client, request_id, {"class": "tabby"}, index=1)
        beyond = await tell(client, request_id, {"class": "tabby"}, index=3)
    assert [one.json()["figures"]["top1"] for one in (first, third)] == [1.0, 0.0]
    assert error_of(broken) == (404, "unknown_answer")
    assert error_of(beyond) == (422, "invalid_parameters") and "had 3 images" in beyond.json()["error"]["message"]


async def test_second_feedback_on_an_image_is_refused_and_a_new_answer_under_the_id_is_not():
    headers = {"x-request-id": "mine"}
    async with gateway(Cats(), MemoryCache()) as client:
        await classify(client, png(1), headers=headers)
        first, second, third = [await tell(client, "mine", {"class": "tabby"}) for _ in range(3)]
        await classify(client, png(2), headers=headers)
        other = await tell(client, "mine", {"class": "tabby"})
        overview = (await client.get("/v1/accuracy")).json()["models"][0]
    assert (first.status_code, other.status_code) == (200, 200)
    assert error_of(second) == error_of(third) == (409, "already_given")
    assert overview["live"]["samples"] == 2


async def test_wrong_truth_can_be_told_again_right():
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await classify(client, png())).json()["request_id"]
        assert error_of(await tell(client, request_id, {"class": "dog"})) == (422, "invalid_parameters")
        assert (await tell(client, request_id, {"class": "tabby"})).status_code == 200


async def test_answers_that_nobody_keeps_take_no_feedback():
    backend, cache = Cats(), MemoryCache()
    async with gateway(backend, cache) as client:
        unstored = await classify(client, png(1), headers={"cache-control": "no-store"})
        stored = await classify(client, png(2))
        cache.bodies.clear()
        for request_id in ("never-given", unstored.json()["request_id"], stored.json()["request_id"]):
            assert error_of(await tell(client, request_id, {"class": "tabby"})) == (404, "unknown_answer")


@pytest.mark.parametrize(("cache", "options"), [(None, {}), (MemoryCache(), {"feedback_ttl_s": 0})])
async def test_feedback_that_is_off_says_so(cache: MemoryCache | None, options: dict[str, Any]):
    async with gateway(Cats(), cache, **options) as client:
        request_id = (await classify(client, png())).json()["request_id"]
        assert error_of(await tell(client, request_id, {"class": "tabby"})) == (404, "feedback_off")


async def test_request_id_expires():
    store = MemoryStore()
    store.remember("a", b"line", 0)
    store.remember("b", b"line", 60)
    assert (await store.recall("a"), await store.recall("b")) == (None, b"line")


async def test_drawn_cached_and_coco_answers_take_feedback():
    street = Street((0, 0.9, BOX))
    async with gateway(street, MemoryCache()) as client:
        first = await post(client, "/v1/detect", png())
        coco = await post(client, "/v1/detect", png(), params={"format": "coco"})
        drawn = await post(client, "/v1/detect", png(), params={"render": True})
        for response in (first, coco, drawn):
            told = await tell(client, response.headers["x-request-id"], {"objects": [{"class": 0, "box": BOX}]})
            assert told.json()["figures"] == {"precision": 1.0, "recall": 1.0, "mean_iou": 1.0}
    assert len(street.calls) == 1


class SlowStore(MemoryStore):
    """Takes a second for the first feedback."""

    pushes = 0

    async def push(self, window: str, entries: Sequence[bytes], size: int) -> None:
        self.pushes += 1
        if self.pushes == 1:
            await asyncio.sleep(1)
        await super().push(window, entries, size)


async def test_feedback_that_ran_out_of_time_can_be_given_again():
    app = await make_app(Cats(), MemoryCache(), SlowStore())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        request_id = (await classify(client, png())).json()["request_id"]
        body = {"request_id": request_id, "target": {"class": 0}}
        late = await client.post("/v1/feedback", json=body, headers={"x-request-timeout": "0.05"})
        again = await client.post("/v1/feedback", json=body)
    assert error_of(late) == (504, "out_of_time")
    assert (again.status_code, again.json()["live"]["samples"]) == (200, 1)


async def test_keys_and_rates_hold_for_feedback_too():
    async with gateway(Cats(), MemoryCache(), api_keys="secret", rate_limit="2/minute") as client:
        assert error_of(await tell(client, "a", {})) == (401, "unauthorized")
        client.headers["x-api-key"] = "secret"
        responses = [await tell(client, "a", {}) for _ in range(3)]
    assert [error_of(response)[0] for response in responses] == [404, 404, 429]


async def test_feedback_is_counted_by_what_became_of_it():
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await classify(client, png(3), params={"model": "noop"})).json()["request_id"]
        for one in (request_id, request_id, "nobody's-business"):
            await tell(client, one, {"class": 0})
        text = (await client.get("/metrics")).text
    assert 'tapetum_feedback_total{model="noop",outcome="ok"} 1.0' in text
    assert 'tapetum_feedback_total{model="noop",outcome="already_given"} 1.0' in text
    assert 'tapetum_feedback_total{model="",outcome="unknown_answer"}' in text
    assert "nobody's-business" not in text


async def test_documented_examples_are_understood():
    examples = describe_feedback()["requestBody"]["content"]["application/json"]["examples"]
    backends = {"classifier": Named(), "detector": Street(), "instance": FourByFour(), "semantic": FourByFourRegions()}
    for name, example in examples.items():
        FeedbackRequest.model_validate(example["value"])
        backend = next(one for kind, one in backends.items() if kind in name)
        path = {"classification": "/v1/classify", "detection": "/v1/detect"}.get(backend.entry["task"], "/v1/segment")
        async with gateway(backend, MemoryCache()) as client:
            request_id = (await post(client, path, png())).headers["x-request-id"]
            told = await client.post("/v1/feedback", json={**example["value"], "request_id": request_id})
        assert told.status_code == 200, (name, told.text)


async def test_documented_answers_are_as_they_are_checked():
    FeedbackAnswer.model_validate(FEEDBACK_EXAMPLE)
    AccuracyOverview.model_validate(ACCURACY_EXAMPLE)
    async with gateway(Cats()) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    for operation, example in (
        (paths["/v1/feedback"]["post"], FEEDBACK_EXAMPLE),
        (paths["/v1/accuracy"]["get"], ACCURACY_EXAMPLE),
    ):
        shown = operation["responses"]["200"]["content"]["application/json"]
        assert shown["example"] == example and "schema" in shown


class Named(Cats):
    entry = {**Cats.entry, "class_names": ["Egyptian cat"]}  # noqa: RUF012  # read only


class FourByFour(FakeInstances):
    entry = {**FakeInstances.entry, "class_names": ["person"]}  # noqa: RUF012  # read only

    def predict_one(self, parameters: SegmentationParameters) -> Prediction:
        return InstanceMasks(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), NO_IDS, (4, 4), ())


class FourByFourRegions(FakeSegmenter):
    entry = {**FakeSegmenter.entry, "class_names": ["background", "person"]}  # noqa: RUF012  # read only

    def predict_one(self, parameters: SegmentationParameters) -> Prediction:
        return SemanticMask(np.zeros((4, 4), np.uint8), NO_IDS, None, (4, 4))
