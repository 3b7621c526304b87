"""`POST /v1/explain` of a gateway: what it asks the explainer, and what clients get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from models.errors import CannotExplain, ExplainingUnavailable, WeightsUnavailable
from services.answers.explanation import ExplanationItem, ExplanationOutcome
from services.answers.wire import Failure
from services.deployments.explainer import ExplainedModels, failure_of
from services.errors import Overloaded
from services.gateway.explanations.calls import MOST_CALLS, RayExplainer
from tests.unit.explaining_fakes import FOUND, FakeDetector, FakeExplainer, explaining_app, explaining_registry
from tests.unit.gateway_fakes import FakeBackend, png, post

IMAGE = png(7)


@asynccontextmanager
async def gateway(
    explainer: FakeExplainer | None, backend: FakeBackend | None = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    registry = explaining_registry(backend or FakeDetector())
    await registry.readiness()
    app = explaining_app(registry, explainer, **options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def explain(client: httpx.AsyncClient, image: bytes = IMAGE, **options: Any) -> httpx.Response:
    return await post(client, "/v1/explain", image, **options)


async def test_explanation_has_time_and_request_id():
    explainer = FakeExplainer()
    async with gateway(explainer) as client:
        response = await explain(client, headers={"x-request-id": "mine"})
    body = response.json()
    assert response.status_code == 200, response.text
    assert body | FOUND == body and body["request_id"] == "mine" and body["took_ms"] > 0
    assert "explain;dur=12.50" in response.headers["server-timing"]
    (item,) = explainer.asked
    assert (item.model, item.image, item.method, item.box, item.view) == ("pet-net@1", IMAGE, "gradcam", None, "json")


async def test_parameters_reach_the_explainer():
    explainer = FakeExplainer()
    async with gateway(explainer) as client:
        await explain(client, params={"method": "occlusion", "class": "dog", "layer": "head"})
        await client.post(
            "/v1/explain", json={"image": {"base64": "aGVsbG8="}, "class": 2}, headers={"x-request-id": "x"}
        )
    assert [(item.method, item.wanted_class, item.layer) for item in explainer.asked] == [("occlusion", "dog", "head")]


async def test_box_is_that_of_the_models_own_answer():
    explainer = FakeExplainer()
    async with gateway(explainer) as client:
        response = await explain(client, params={"box": 1})
        outside = await explain(client, params={"box": 2})
        both = await explain(client, params={"box": 1, "class": "dog"})
    assert response.status_code == 200
    assert [item.box for item in explainer.asked] == [(1.5, 0.0, 2.5, 2.0, 2)]
    assert outside.status_code == 422 and "out of range: there are 0 to 1" in outside.text
    assert both.status_code == 422 and "leave class out" in both.text


async def test_box_of_a_classifier_is_refused():
    async with gateway(FakeExplainer(), FakeBackend()) as client:
        response = await explain(client, params={"box": 0})
    assert response.status_code == 422 and "predicts no boxes" in response.text


@pytest.mark.parametrize(
    ("accept", "parameters", "view", "media_type"),
    [
        ("*/*", {}, "json", "application/json"),
        ("image/png", {}, "overlay", "image/png"),
        ("image/jpeg", {}, "overlay", "image/jpeg"),
        ("image/*", {}, "overlay", "image/png"),
        ("*/*", {"render": "true"}, "overlay", "image/png"),
        ("*/*", {"format": "heatmap"}, "heatmap", "image/png"),
        ("image/png", {"format": "json"}, "json", "application/json"),
        ("image/jpeg", {"format": "overlay"}, "overlay", "image/jpeg"),
    ],
)
async def test_client_gets_the_view_that_it_asks_for(
    accept: str, parameters: dict[str, str], view: str, media_type: str
):
    explainer = FakeExplainer()
    async with gateway(explainer) as client:
        response = await explain(client, headers={"accept": accept}, params=parameters)
    assert response.status_code == 200, response.text
    assert explainer.asked[0].view == view
    assert response.headers["content-type"] == media_type and response.headers["vary"] == "Accept"


async def test_requests_that_cannot_be_explained_are_refused_before_the_explainer():
    explainer = FakeExplainer()
    async with gateway(explainer, max_image_pixels=100) as client:
        large = await explain(client, png(size=(20, 20)))
        unknown = await explain(client, params={"model": "nothing"})
        method = await explain(client, params={"method": "magic"})
        text = await explain(client, b"hello")
        files = [("image", ("a.png", IMAGE, "image/png"))] * 2
        several = await client.post("/v1/explain", files=files)
        picture = await explain(client, headers={"accept": "image/webp"})
    codes = [(each.status_code, each.json()["error"]["code"]) for each in (large, unknown, method, text, several)]
    assert codes == [
        (413, "image_too_large"),
        (404, "unknown_model"),
        (422, "invalid_parameters"),
        (415, "unsupported_image"),
        (400, "malformed_request"),
    ]
    assert picture.status_code == 406
    assert not explainer.asked


async def test_explanations_can_be_turned_off():
    async with gateway(FakeExplainer(), explanations=False) as client:
        response = await explain(client)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "explanations_off")


async def test_missing_explainer_is_an_error_of_its_own():
    async with gateway(None) as client:
        response = await explain(client)
    assert response.json()["error"]["code"] == "explanations_off"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (CannotExplain("no class 'x'", "class", ("a",)), 422, "invalid_parameters"),
        (ExplainingUnavailable("needs captum: pip install"), 501, "explaining_unavailable"),
        (WeightsUnavailable("pet-net", "/secret/path is missing"), 422, "load_failed"),
        (ValueError("secret"), 500, "internal_error"),
    ],
)
async def test_failure_of_the_explainer_reaches_the_client(error: Exception, status: int, code: str):
    found = failure_of(error, "pet-net@1")
    outcome = ExplanationOutcome({}, None, Failure(found.status, found.code, found.message, found.details), {})
    async with gateway(FakeExplainer(outcome)) as client:
        response = await explain(client)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert "secret" not in response.text


async def test_busy_explainer_says_when_to_try_again():
    async with gateway(FakeExplainer(Overloaded("busy", None, 3.0))) as client:
        response = await explain(client)
    assert response.status_code == 503 and response.headers["retry-after"] == "3"


async def test_gateway_refuses_more_explanations_than_it_may_have_in_progress():
    calls = RayExplainer.__new__(RayExplainer)
    calls._in_progress = MOST_CALLS
    with pytest.raises(Overloaded, match="in progress"):
        await calls.explain(ExplanationItem("m", b"", "gradcam", None, None, None, "json", "png", 0.0))


def test_models_that_were_asked_least_recently_are_dropped():
    made: list[str] = []

    def make(name: str) -> Any:
        made.append(name)
        return name

    models = ExplainedModels(make, kept=2)
    assert [models.get(name) for name in ("a", "b", "a", "c", "a", "b")] == ["a", "b", "a", "c", "a", "b"]
    assert made == ["a", "b", "c", "b"]
