"""`GET /v1/models/{name}/layers` of a gateway: what it asks the explainer, and what clients get."""

from __future__ import annotations

import asyncio
from typing import Any

from models.errors import CannotExplain
from services.answers.explanation import ExplanationOutcome
from services.answers.wire import Failure
from services.deployments.explainer import failure_of
from services.gateway.explanations.places import MOST_CALLS
from tests.unit.explaining_fakes import LAYERS, FakeExplainer
from tests.unit.gateway.test_explained_versions import COLD, Idle
from tests.unit.gateway.test_explained_versions import gateway as gateway_of
from tests.unit.gateway.test_explanations import SlowExplainer, gateway
from tests.unit.gateway_fakes import FakeBackend, post

URL = "/v1/models/pet-net/layers"


class SignalBackend(FakeBackend):
    """Serves a model that takes signals."""

    names = ("pet-net",)
    entry = {**FakeBackend.entry, "preprocessing": {"length": 40}}  # noqa: RUF012


async def test_layers_have_time_and_request_id():
    explainer = FakeExplainer()
    async with gateway(explainer) as client:
        response = await client.get(URL, headers={"x-request-id": "mine"})
        named = await client.get("/v1/models/pet-net@1/layers")
        entry = await client.get("/v1/models/pet-net")
    body = response.json()
    assert (response.status_code, named.status_code) == (200, 200), response.text
    assert body | LAYERS == body and body["request_id"] == "mine" and body["took_ms"] > 0
    assert "explain;dur=12.50" in response.headers["server-timing"]
    assert [(item.model, item.image, item.method) for item in explainer.asked] == [("pet-net@1", b"", "layers")] * 2
    assert entry.json()["name"] == "pet-net"


async def test_cold_model_is_listed_without_loading_it():
    explainer = FakeExplainer()
    async with gateway_of(Idle(), explainer, "detection", f"{COLD}@1", preload=()) as (client, registry):
        response = await client.get(f"/v1/models/{COLD}/layers")
        assert registry.is_cold(COLD)
    assert response.status_code == 200 and [item.model for item in explainer.asked] == [f"{COLD}@1"]


async def test_unknown_model_and_unknown_version_are_not_found():
    async with gateway(FakeExplainer()) as client:
        unknown = await client.get("/v1/models/nothing/layers")
        version = await client.get("/v1/models/pet-net@7/layers")
    assert [one.status_code for one in (unknown, version)] == [404, 404]
    assert unknown.json()["error"]["details"]["known"] == ["pet-net"]


async def test_model_of_signals_is_refused_without_asking_the_explainer():
    explainer = FakeExplainer()
    async with gateway(explainer, SignalBackend()) as client:
        responses = [await client.get(URL), await post(client, "/v1/explain", b"photo")]
    for response in responses:
        assert response.status_code == 422
        assert "takes signals: only models of images have explanations and layers" in response.text
    assert not explainer.asked


async def test_network_without_layers_is_the_error_of_the_explainer():
    error = failure_of(CannotExplain("mine is an ONNX file, and has no layers of torch", "model"), "mine")
    failure = Failure(error.status, error.code, error.message, error.details)
    async with gateway(FakeExplainer(ExplanationOutcome({}, None, failure, {}))) as client:
        response = await client.get(URL)
    assert response.status_code == 422 and "has no layers of torch" in response.text


async def test_layers_are_off_where_explanations_are():
    async with gateway(FakeExplainer(), explanations=False) as client:
        response = await client.get(URL)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "explanations_off")


async def test_layers_need_a_key_and_count_as_explanations():
    async with gateway(FakeExplainer(), api_keys="a") as client:
        assert (await client.get(URL)).status_code == 401
        metrics = (await client.get("/metrics", headers={"x-api-key": "a"})).text
        await client.get(URL, headers={"x-api-key": "a"})
        after = (await client.get("/metrics", headers={"x-api-key": "a"})).text
    line = 'method="layers",model="pet-net",outcome="ok"'
    assert count_of(after, line) == count_of(metrics, line) + 1


def count_of(metrics: str, labels: str) -> float:
    lines = [line for line in metrics.splitlines() if line.startswith("tapetum_explanations_total") and labels in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_layers_and_explanations_share_their_places():
    explainer, ended = SlowExplainer(), asyncio.Event()
    explainer.ended = ended
    async with gateway(explainer) as client:
        running = [asyncio.create_task(client.get(URL)) for _ in range(MOST_CALLS)]
        while len(explainer.asked) < MOST_CALLS:
            await asyncio.sleep(0.005)
        refused = [await client.get(URL), await post(client, "/v1/explain", b"photo")]
        ended.set()
        statuses = [(await each).status_code for each in running]
    assert [one.json()["error"]["code"] for one in refused] == ["overloaded"] * 2
    assert statuses == [200] * MOST_CALLS


async def test_document_describes_the_answer_by_an_example():
    async with gateway(FakeExplainer()) as client:
        described: dict[str, Any] = (await client.get("/openapi.json")).json()["paths"]["/v1/models/{name}/layers"][
            "get"
        ]
    assert described["operationId"] == "layers" and [one["name"] for one in described["parameters"]] == ["name"]
    content = described["responses"]["200"]["content"]["application/json"]
    assert content["example"]["layers"][0]["name"] == "stem.0" and "$ref" in content["schema"]
