"""`POST /v1/explain` of a gateway: what it asks the explainer, and what clients get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from models.errors import CannotExplain, ExplainingUnavailable, NonFiniteOutput, WeightsUnavailable
from services.answers.explanation import ExplanationItem, ExplanationOutcome
from services.answers.wire import Failure, Item, Outcome
from services.deployments.explainer import ExplainedModels, failure_of
from services.errors import Overloaded
from services.gateway.explanations.places import MOST_CALLS, MOST_OF_TENANT, Places
from tests.unit.explaining_fakes import FOUND, FakeDetector, FakeExplainer, explaining_app, explaining_registry
from tests.unit.gateway_fakes import FakeBackend, identified, png, post, sign

IMAGE = png(7)
PATHS = ("/v1/classify", "/v1/explain")


class SlowExplainer(FakeExplainer):
    """Answers once it may."""

    ended: asyncio.Event

    async def explain(self, item: ExplanationItem) -> ExplanationOutcome:
        self.asked.append(item)
        await self.ended.wait()
        return ExplanationOutcome(FOUND, None, None, {})


class UpdatedDetector(FakeDetector):
    """Describes version 1, and answers as version 2."""

    def _answer(self, item: Item) -> Outcome:
        described = identified({**self.entry, "name": item.model, "version": "2", "weights_digest": "d2"})
        return sign(item, super()._answer(item), described)


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


async def test_box_is_explained_by_the_version_that_found_it():
    explainer = FakeExplainer()
    async with gateway(explainer, UpdatedDetector()) as client:
        response = await explain(client, params={"box": 1})
    assert response.status_code == 200, response.text
    assert [item.model for item in explainer.asked] == ["pet-net@2"]


async def test_maps_of_a_layer_are_of_no_class_and_no_box():
    explainer = FakeExplainer()
    async with gateway(explainer) as client:
        for parameter in ("class", "box"):
            response = await explain(client, params={"method": "features", parameter: 1})
            assert response.status_code == 422 and f"leave {parameter} out" in response.text
    assert not explainer.asked


async def test_call_of_a_layer_is_of_maps_alone():
    explainer = FakeExplainer()
    async with gateway(explainer) as client:
        maps = await explain(client, params={"method": "features", "layer": "head", "call": 3})
        heat = await explain(client, params={"call": 3})
    assert maps.status_code == 200 and [item.call for item in explainer.asked] == [3]
    assert heat.status_code == 422 and "call is for method=features" in heat.text


async def test_augmentation_is_no_parameter_of_explanations():
    async with gateway(FakeExplainer()) as client:
        response = await explain(client, params={"augment": "true"})
        schema = (await client.get("/openapi.json")).json()
    assert response.status_code == 422 and "augment" in response.text
    named = {path: [each["name"] for each in schema["paths"][path]["post"]["parameters"]] for path in PATHS}
    assert "augment" in named["/v1/classify"] and "augment" not in named["/v1/explain"]


async def test_box_of_a_classifier_is_refused():
    async with gateway(FakeExplainer(), FakeBackend()) as client:
        response = await explain(client, params={"box": 0})
    assert response.status_code == 422 and "box is for detectors" in response.text


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
        (NonFiniteOutput(), 500, "non_finite_answer"),
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
    places = Places()
    with ExitStack() as held:
        for _ in range(MOST_CALLS):
            held.enter_context(places.place(""))
        with pytest.raises(Overloaded, match="4 explanations are in progress"):
            places.check("a-key")
    places.check("a-key")


async def test_one_api_key_leaves_places_for_others():
    places = Places()
    with ExitStack() as held:
        for _ in range(MOST_OF_TENANT):
            held.enter_context(places.place("greedy"))
        with pytest.raises(Overloaded, match="2 explanations of your API key"):
            held.enter_context(places.place("greedy"))
        held.enter_context(places.place("modest"))
    places.check("greedy")


async def test_place_is_held_until_the_explanation_is_made():
    explainer, ended = SlowExplainer(), asyncio.Event()
    explainer.ended = ended
    async with gateway(explainer) as client:
        running = [asyncio.create_task(explain(client, png(shade))) for shade in range(MOST_CALLS)]
        while len(explainer.asked) < MOST_CALLS:
            await asyncio.sleep(0.005)
        refused = await explain(client, b"not even an image")
        ended.set()
        statuses = [(await each).status_code for each in running]
        later = await explain(client)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert statuses == [200] * MOST_CALLS and later.status_code == 200


def test_model_that_cannot_be_loaded_throws_none_out():
    made: list[str] = []

    def make(name: str) -> Any:
        if name == "broken":
            raise CannotExplain("broken has no network", "model")
        made.append(name)
        return name

    models = ExplainedModels(make, kept=1)
    models.get("a")
    with pytest.raises(CannotExplain):
        models.get("broken")
    models.get("a")
    assert made == ["a"]


def test_models_that_were_asked_least_recently_are_dropped():
    made: list[str] = []

    def make(name: str) -> Any:
        made.append(name)
        return name

    models = ExplainedModels(make, kept=2)
    assert [models.get(name) for name in ("a", "b", "a", "c", "a", "b")] == ["a", "b", "a", "c", "a", "b"]
    assert made == ["a", "b", "c", "b"]
