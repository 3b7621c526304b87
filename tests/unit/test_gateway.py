"""The gateway over ASGI: inputs, answers, errors, limits and cache, with a backend that needs no Ray."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from PIL import Image

from services.errors import OutOfTime, ServiceError
from services.gateway.app import create_app
from services.gateway.cache import MemoryCache, ResultCache
from services.gateway.registry import Registry
from services.settings import Settings
from services.topology import check_topology
from services.wire import Failure, Item, Outcome

TOPOLOGY = check_topology(
    {"deployments": [{"name": "Classifier", "task": "classification", "models": ["efficientnet-lite0", "noop"]}]}
)


class FakeBackend:
    """Answers with a class id made from the image's bytes, so that a mixed-up answer shows."""

    def __init__(self) -> None:
        self.calls: list[list[Item]] = []
        self.takes_s = 0.0
        self.warm = True

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        self.calls.append(items)
        await asyncio.sleep(self.takes_s)
        return [self._answer(item) for item in items]

    async def describe(self) -> list[dict[str, Any]]:
        if not self.warm:
            raise ConnectionError
        names = ("efficientnet-lite0", "noop")
        return [
            {
                "name": n,
                "version": "1",
                "task": "classification",
                "weights_digest": "d",
                "runtime": {},
                "class_names": ["a"],
            }
            for n in names
        ]

    def _answer(self, item: Item) -> Outcome:
        if item.image == broken_inside():
            return Outcome(None, Failure(400, "broken_image", "the image is cut off", {}), {})
        prediction = {"class_id": class_id_of(item.image), "class_name": "x", "probability": 0.5}
        body = {"image": {"height": 2, "width": 3}, "predictions": [prediction] * item.parameters["top_k"]}
        return Outcome(orjson.dumps(body), None, {"forward": 1.5})


def class_id_of(image: bytes) -> int:
    return int(hashlib.sha256(image).hexdigest()[:6], 16)


def png(shade: int = 0, size: tuple[int, int] = (3, 2)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def broken_inside() -> bytes:
    return png(99)[:-20]


@asynccontextmanager
async def gateway(
    backend: FakeBackend, cache: ResultCache | None = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    registry = Registry(TOPOLOGY, {"Classifier": backend})
    await registry.readiness()
    app = create_app(Settings(**options), registry, cache)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def classify(client: httpx.AsyncClient, image: bytes, **options: Any) -> httpx.Response:
    headers = {"content-type": "image/png", **options.pop("headers", {})}
    return await client.post("/v1/classify", content=image, headers=headers, **options)


async def test_raw_image_gets_its_answer():
    async with gateway(FakeBackend()) as client:
        response = await classify(client, png(1), params={"top_k": 2}, headers={"x-request-id": "mine"})
    answer = response.json()
    assert response.status_code == 200
    assert answer["model"] == "efficientnet-lite0" and answer["version"] == "1"
    assert answer["image"] == {"height": 2, "width": 3}
    assert [prediction["class_id"] for prediction in answer["predictions"]] == [class_id_of(png(1))] * 2
    assert answer["cached"] is False
    assert answer["request_id"] == response.headers["x-request-id"] == "mine"
    assert "forward;dur=1.50" in response.headers["server-timing"]
    assert response.headers["etag"].startswith('W/"')


async def test_json_multipart_and_raw_mean_the_same():
    image = png(2)
    async with gateway(FakeBackend()) as client:
        raw = await classify(client, image)
        json = await client.post("/v1/classify", json={"image": {"base64": base64.b64encode(image).decode()}})
        form = await client.post("/v1/classify", files={"image": image}, data={"top_k": "5"})
        url = "data:image/png;base64," + base64.b64encode(image).decode()
        data_url = await client.post("/v1/classify", json={"image": {"base64": url}})
    answers = [response.json() for response in (raw, json, form, data_url)]
    assert {response.headers["etag"] for response in (raw, json, form, data_url)} == {raw.headers["etag"]}
    assert all(answer["predictions"] == answers[0]["predictions"] for answer in answers)


async def test_bad_image_in_a_list_gets_its_own_error_and_the_others_their_answers():
    images = [png(3), b"not an image", broken_inside(), png(4)]
    document = {"images": [{"base64": base64.b64encode(image).decode()} for image in images] + [{"base64": "%%%"}]}
    async with gateway(FakeBackend()) as client:
        response = await client.post("/v1/classify", json=document)
        form = await client.post("/v1/classify", files=[("image", image) for image in images])
    results = response.json()["results"]
    assert response.status_code == 200
    assert [result.get("error", {}).get("code") for result in results] == [
        None,
        "unsupported_image",
        "broken_image",
        None,
        "malformed_request",
    ]
    assert results[0]["predictions"][0]["class_id"] == class_id_of(png(3))
    assert results[3]["predictions"][0]["class_id"] == class_id_of(png(4))
    assert [("error" in result) for result in form.json()["results"]] == [False, True, True, False]


@pytest.mark.parametrize(
    ("request_of", "status", "code"),
    [
        ({"content": b"", "headers": {"content-type": "image/png"}}, 400, "empty_image"),
        ({"content": b"plain words", "headers": {"content-type": "image/png"}}, 415, "unsupported_image"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "malformed_request"),
        ({"content": b"\xff\xfe\x00", "headers": {"content-type": "application/json"}}, 400, "malformed_request"),
        ({"content": b"[]", "headers": {"content-type": "application/json"}}, 400, "malformed_request"),
        ({"json": {}}, 422, "invalid_parameters"),
        ({"json": {"images": []}}, 422, "invalid_parameters"),
        ({"json": {"image": {"base64": "AA=="}, "images": []}}, 422, "invalid_parameters"),
        ({"json": {"image": {"base64": 5}}}, 422, "invalid_parameters"),
        ({"json": {"image": {"base64": "A"}}}, 400, "malformed_request"),
        ({"content": png(), "headers": {"content-type": "text/html"}}, 415, "unsupported_content_type"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "malformed_request"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "malformed_request"),
        ({"files": {"photo": png()}}, 422, "invalid_parameters"),
        (
            {"content": png(), "headers": {"content-type": "image/png"}, "params": {"top_k": 0}},
            422,
            "invalid_parameters",
        ),
        (
            {"content": png(), "headers": {"content-type": "image/png"}, "params": {"top_q": 1}},
            422,
            "invalid_parameters",
        ),
        (
            {"content": png(), "headers": {"content-type": "image/png"}, "params": {"model": "nope"}},
            404,
            "unknown_model",
        ),
        ({"content": png(), "headers": {"x-request-timeout": "soon"}}, 422, "invalid_parameters"),
        ({"content": png(), "headers": {"x-request-timeout": "-1"}}, 422, "invalid_parameters"),
        ({"files": {"image": png()}, "data": {"top_k": "1"}, "params": {"top_k": 2}}, 422, "invalid_parameters"),
    ],
)
async def test_bad_request_gets_a_clear_error(request_of: dict[str, Any], status: int, code: str):
    async with gateway(FakeBackend()) as client:
        response = await client.post("/v1/classify", **request_of)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["request_id"] == response.headers["x-request-id"]
    assert set(error) == {"code", "message", "request_id", "details"}
    assert "Traceback" not in response.text and "/" + str(Path.home()).strip("/") not in response.text


async def test_unknown_model_is_told_the_known_ones():
    async with gateway(FakeBackend()) as client:
        response = await classify(client, png(), params={"model": "resnet"})
    assert response.json()["error"]["details"]["known"] == ["efficientnet-lite0", "noop"]


async def test_sizes_are_capped_before_anything_is_decoded():
    backend = FakeBackend()
    caps: dict[str, Any] = {
        "max_image_bytes": 500,
        "max_image_pixels": 100,
        "max_images_per_request": 2,
        "max_body_bytes": 4000,
    }
    async with gateway(backend, **caps) as client:
        heavy = await classify(client, b"\xff\xd8" + b"x" * 600)
        many_pixels = await classify(client, png(size=(11, 10)))
        several = await client.post("/v1/classify", files=[("image", png())] * 3)
        body = await client.post("/v1/classify", json={"image": {"base64": "A" * 5000}})

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 100

        streamed = await client.post("/v1/classify", content=chunks(), headers={"content-type": "image/png"})
    statuses = [response.status_code for response in (heavy, many_pixels, body, streamed)]
    assert statuses == [413, 413, 413, 413]
    assert several.status_code in (400, 413)
    assert backend.calls == []


async def test_second_time_is_answered_from_the_cache_without_a_call():
    backend = FakeBackend()
    async with gateway(backend, MemoryCache()) as client:
        first, second = await classify(client, png(5)), await classify(client, png(5))
        other = await classify(client, png(5), params={"top_k": 1})
    assert (first.json()["cached"], second.json()["cached"], other.json()["cached"]) == (False, True, False)
    assert first.json()["predictions"] == second.json()["predictions"]
    assert len(backend.calls) == 2


async def test_cache_control_is_respected():
    backend = FakeBackend()
    cache = MemoryCache()
    async with gateway(backend, cache) as client:
        await classify(client, png(6), headers={"cache-control": "no-store"})
        assert cache.bodies == {}
        await classify(client, png(6))
        again = await classify(client, png(6), headers={"cache-control": "no-cache"})
    assert again.json()["cached"] is False
    assert len(backend.calls) == 3


async def test_identical_requests_in_flight_are_worked_out_once():
    backend = FakeBackend()
    backend.takes_s = 0.05
    async with gateway(backend, MemoryCache()) as client:
        responses = await asyncio.gather(*(classify(client, png(7)) for _ in range(6)))
    assert {response.status_code for response in responses} == {200}
    assert sum(len(call) for call in backend.calls) == 1


async def test_concurrent_callers_get_their_own_answers_in_few_calls():
    backend = FakeBackend()
    backend.takes_s = 0.002
    images = [png(shade) for shade in range(60)]
    async with gateway(backend) as client:
        responses = await asyncio.gather(*(classify(client, image) for image in images))
    for image, response in zip(images, responses, strict=True):
        assert response.json()["predictions"][0]["class_id"] == class_id_of(image)
    assert len(backend.calls) < 30


async def test_time_limit_is_kept_and_a_follower_with_more_time_is_still_answered():
    backend = FakeBackend()
    backend.takes_s = 0.1
    async with gateway(backend) as client:
        short = classify(client, png(8), headers={"x-request-timeout": "0.02"})
        late, patient = await asyncio.gather(short, classify(client, png(8)))
    assert (late.status_code, late.json()["error"]["code"]) == (504, "out_of_time")
    assert patient.status_code == 200


async def test_replica_that_ran_out_of_time_is_a_504():
    class Late(FakeBackend):
        async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
            return [OutOfTime("too late") for _ in items]

    async with gateway(Late()) as client:
        assert (await classify(client, png(), headers={"x-request-timeout": "0.01"})).status_code == 504


async def test_overload_is_refused_with_a_retry_after():
    backend = FakeBackend()
    backend.takes_s = 0.05
    async with gateway(backend, max_concurrent_requests=1, max_queued_requests=1) as client:
        responses = await asyncio.gather(*(classify(client, png(shade)) for shade in range(5)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200, 200, 503, 503, 503]
    refused = next(response for response in responses if response.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"


async def test_keys_are_asked_for_and_checked():
    async with gateway(FakeBackend(), api_keys="first,second") as client:
        none, wrong = await classify(client, png()), await classify(client, png(), headers={"x-api-key": "third"})
        header = await classify(client, png(), headers={"x-api-key": "second"})
        bearer = await classify(client, png(), headers={"authorization": "Bearer first"})
        probe, models = await client.get("/healthz"), await client.get("/v1/models")
    assert [none.status_code, wrong.status_code, header.status_code, bearer.status_code] == [401, 403, 200, 200]
    assert none.headers["www-authenticate"] == "Bearer"
    assert (probe.status_code, models.status_code) == (200, 401)
    async with gateway(FakeBackend(), api_keys="first", open_probes=False) as client:
        assert (await client.get("/metrics")).status_code == 401


async def test_rate_limit_counts_each_key_apart():
    async with gateway(FakeBackend(), api_keys="a,b", rate_limit="2/minute") as client:
        statuses = [(await classify(client, png(), headers={"x-api-key": "a"})).status_code for _ in range(3)]
        other = await classify(client, png(), headers={"x-api-key": "b"})
        refused = await classify(client, png(), headers={"x-api-key": "a"})
    assert statuses == [200, 200, 429]
    assert other.status_code == 200
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_readiness_asks_the_models():
    backend = FakeBackend()
    async with gateway(backend) as client:
        assert (await client.get("/readyz")).json()["ready"] is True
    backend.warm = False
    async with gateway(backend) as client:
        response = await client.get("/readyz")
        predict = await classify(client, png())
    assert (response.status_code, response.json()["models"]) == (503, {"efficientnet-lite0": False, "noop": False})
    assert (predict.status_code, predict.json()["error"]["code"]) == (503, "not_ready")


async def test_draining_refuses_new_requests(tmp_path: Path):
    async with gateway(FakeBackend(), run_dir=tmp_path) as client:
        assert (await classify(client, png())).status_code == 200
        (tmp_path / "draining").touch()
        response, ready = await classify(client, png()), await client.get("/readyz")
    assert (response.status_code, ready.status_code) == (503, 503)
    assert "retry-after" in response.headers


async def test_models_are_listed_without_their_class_names_and_shown_with_them():
    async with gateway(FakeBackend()) as client:
        listed, shown = await client.get("/v1/models"), await client.get("/v1/models/noop")
        unknown = await client.get("/v1/models/torchvision/none")
    assert [entry["name"] for entry in listed.json()["models"]] == ["efficientnet-lite0", "noop"]
    assert "class_names" not in listed.text and shown.json()["class_names"] == ["a"]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_model")


async def test_wrong_path_and_method_have_the_shape_of_all_errors():
    async with gateway(FakeBackend()) as client:
        path, method = await client.get("/v2/nothing"), await client.get("/v1/classify")
    assert (path.status_code, path.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_metrics_name_no_model_off_the_street():
    async with gateway(FakeBackend()) as client:
        await classify(client, png(), params={"model": "made-up-by-a-client"})
        await classify(client, png())
        text = (await client.get("/metrics")).text
    assert "made-up-by-a-client" not in text
    assert 'tapetum_requests_total{model="efficientnet-lite0",outcome="ok",task="classification"}' in text


async def test_failure_inside_is_a_500_that_tells_nothing():
    class Broken(FakeBackend):
        async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
            raise ZeroDivisionError("secret detail")

    async with gateway(Broken()) as client:
        response = await classify(client, png())
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in response.text


async def test_documentation_needs_no_network_and_no_key():
    async with gateway(FakeBackend(), api_keys="a") as client:
        page = (await client.get("/docs")).text
        sources = re.findall(r'(?:src|href)="([^"]+)"', page)
        statuses = [(await client.get(source)).status_code for source in sources]
    assert "https://" not in page
    assert len(sources) >= 2 and set(statuses) == {200}


async def test_documentation_describes_every_way_to_ask():
    async with gateway(FakeBackend()) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/classify"]["post"]
    assert set(operation["requestBody"]["content"]) > {"image/jpeg", "multipart/form-data", "application/json"}
    assert {parameter["name"] for parameter in operation["parameters"]} >= {"model", "top_k", "X-Request-Timeout"}
    assert {"200", "400", "401", "403", "404", "413", "415", "422", "429", "503", "504"} <= set(operation["responses"])
