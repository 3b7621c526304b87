"""`augment` at the prediction endpoints: a parameter of the model, part of the cache key, and of the wait estimate."""

from __future__ import annotations

import base64
import time

import httpx
import pytest

from services.answers.wire import Item, Outcome
from services.errors import Overloaded
from services.gateway.accuracy.drift_watch import DriftWatch
from services.gateway.serving.model_calls import ModelCalls
from services.gateway.serving.queue_wait import QueueWait
from tests.unit.gateway.test_detection import FakeDetector, detect
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, classify, gateway, png, post


async def test_augment_reaches_the_model_in_query_form_and_json():
    backend = FakeDetector()
    encoded = base64.b64encode(png()).decode()
    async with gateway(backend) as client:
        await detect(client, augment="true")
        await client.post("/v1/detect", files={"image": png()}, data={"augment": "true"})
        await client.post("/v1/detect", json={"image": {"base64": encoded}, "augment": True})
    assert [told.get("augment") for told in backend.told] == [True] * 3


async def test_augmented_answer_has_a_cache_entry_of_its_own():
    backend = FakeDetector()
    async with gateway(backend, MemoryCache()) as client:
        plain, augmented = await detect(client), await detect(client, augment="true")
        again, off = await detect(client, augment="yes"), await detect(client, augment="false")
    assert [one.json()["cached"] for one in (plain, augmented, again, off)] == [False, False, True, True]
    assert plain.headers["etag"] != augmented.headers["etag"]


async def test_list_of_images_is_augmented_one_by_one():
    backend = FakeBackend()
    images = [{"base64": base64.b64encode(png(level)).decode()} for level in (1, 2)]
    async with gateway(backend) as client:
        response = await client.post("/v1/classify", json={"images": images, "augment": True})
    assert len(response.json()["results"]) == 2
    assert [item.parameters["augment"] for call in backend.calls for item in call] == [True, True]


async def test_augment_goes_with_coco_format_and_with_a_picture():
    backend = FakeDetector()
    async with gateway(backend, MemoryCache()) as client:
        coco = await detect(client, augment="true", format="coco")
        picture = await post(client, "/v1/detect", png(), params={"augment": "true", "render": "true"})
    assert coco.status_code == 200 and len(coco.json()) == 3
    assert picture.headers["content-type"].startswith("image/")
    assert len(backend.calls) == 1


@pytest.mark.parametrize("value", ["maybe", "", "2", "true,false"])
async def test_value_that_is_no_boolean_is_refused(value: str):
    backend = FakeBackend()
    async with gateway(backend) as client:
        response = await classify(client, png(), params={"augment": value})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_parameters")
    assert "augment" in response.json()["error"]["message"]
    assert backend.calls == []


async def test_documentation_describes_augment_for_every_task():
    async with gateway(FakeDetector()) as client:
        document = (await client.get("/openapi.json")).json()
    for path in ("/v1/classify", "/v1/detect", "/v1/segment"):
        names = [parameter["name"] for parameter in document["paths"][path]["post"]["parameters"]]
        assert "augment" in names, path


async def test_open_inference_protocol_takes_augment_as_a_parameter():
    backend = FakeDetector()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(png()).decode()]}
    async with gateway(backend) as client:
        for parameters, status in (({"augment": True}, 200), ({"augment": "maybe"}, 400)):
            document = {"inputs": [tensor], "parameters": parameters}
            response: httpx.Response = await client.post("/v2/models/street-net/infer", json=document)
            assert response.status_code == status, response.text
    assert [told.get("augment") for told in backend.told] == [True]


def test_predictions_of_views_and_of_given_proposals_do_not_count_towards_drift():
    class Model:
        key, score_threshold = ("m", "1", "d"), None

    class Summary:
        score, class_id = 0.5, 0

    watch = DriftWatch(10)
    watch.see(Model(), {"augment": True}, Summary())  # type: ignore[arg-type]
    watch.see(Model(), {"proposals": ((0.0, 0.0, 9.0, 9.0),)}, Summary())  # type: ignore[arg-type]
    assert not watch.take()
    watch.see(Model(), {}, Summary())  # type: ignore[arg-type]
    assert watch.take()


class RecordedWait(QueueWait):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(parallel=1)
        self.seen: list[tuple[int, float]] = []
        self.see(1, 0.1, 0.1, time.monotonic())

    def see(self, in_flight: int, latency_s: float, service_s: float, now_s: float) -> None:
        self.seen.append((in_flight, service_s))
        super().see(in_flight, latency_s, service_s, now_s)


async def test_augmented_image_counts_as_many_images_in_the_expected_wait():
    """Ten views take ten times as long, and are ahead of the next image as ten images would be."""
    wait = RecordedWait()

    async def send(item: Item) -> Outcome:
        with pytest.raises(Overloaded, match="1 images are in flight; another one would wait 1"):
            await calls.submit(item)
        return Outcome(b"{}", None, {"queue": 50.0, "forward": 1000.0})

    calls = ModelCalls(send, wait, 0.5, None)  # type: ignore[arg-type]
    await calls.of_request(passes=10).submit(Item("m", b"", {}, time.time() + 60))
    assert len(calls) == 0
    assert wait.seen[1:] == [(10, pytest.approx(0.1))]  # seconds of one view


async def test_image_behind_a_plain_one_is_not_refused():
    wait = RecordedWait()
    sent: list[Item] = []

    async def send(item: Item) -> Outcome:
        sent.append(item)
        if len(sent) == 1:
            await calls.submit(item)
        return Outcome(b"{}", None, {"forward": 100.0})

    calls = ModelCalls(send, wait, 0.5, None)  # type: ignore[arg-type]
    await calls.submit(Item("m", b"", {}, time.time() + 60))
    assert len(sent) == 2
