"""What the gateway says of itself: readiness, models, metrics, errors and documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.answers.wire import Item, Outcome
from services.errors import ServiceError
from tests.unit.gateway_fakes import FakeBackend, classify, gateway, png


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


async def test_models_are_listed_without_their_class_names_and_shown_with_them():
    async with gateway(FakeBackend()) as client:
        listed, shown = await client.get("/v1/models"), await client.get("/v1/models/noop")
        unknown = await client.get("/v1/models/torchvision/none")
    assert [entry["name"] for entry in listed.json()["models"]] == ["efficientnet-lite0", "noop"]
    assert "class_names" not in listed.text and shown.json()["class_names"] == ["a"]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_model")


async def test_wrong_path_and_method_have_the_shape_of_all_errors():
    async with gateway(FakeBackend()) as client:
        path, method = await client.get("/v3/nothing"), await client.get("/v1/classify")
    assert (path.status_code, path.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_metrics_name_no_model_off_the_street():
    async with gateway(FakeBackend()) as client:
        await classify(client, png(), params={"model": "made-up-by-a-client"})
        await classify(client, png())
        text = (await client.get("/metrics")).text
    assert "made-up-by-a-client" not in text
    assert 'tapetum_requests_total{model="efficientnet-lite0",outcome="ok",task="classification",version="1"}' in text


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
