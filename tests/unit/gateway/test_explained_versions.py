"""Which version of a model is explained: canaries, named versions, and models that no request has loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from services.gateway.serving.registry import Registry
from services.model_deployment import ModelDeployment, ModelSpec
from services.rollout.canary import Canary
from services.rollout.serving_plan import ServingPlan
from services.topology import Topology
from tests.unit.explaining_fakes import FakeExplainer, explaining_app
from tests.unit.gateway.test_canary_and_shadow import MODEL, TwoVersions
from tests.unit.gateway_fakes import FakeBackend, png, post

COLD = "finds-later"


class Idle(FakeBackend):
    """Replicas that have no model loaded, and note what they are asked to predict."""

    async def describe(self) -> list[dict[str, Any]]:
        return []


@asynccontextmanager
async def gateway(
    backend: FakeBackend, explainer: FakeExplainer, task: str, *names: str, **args: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Registry]]:
    models = tuple(ModelSpec(name=name) for name in names)
    deployment = ModelDeployment.model_construct(name="Fake", task=task, models=models)
    registry = Registry(Topology.model_construct(deployments=(deployment,), **args), {"Fake": backend})
    await registry.readiness()
    app = explaining_app(registry, explainer, load_timeout_s=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client, registry


async def explained(client: httpx.AsyncClient, request_id: str, **params: Any) -> httpx.Response:
    return await post(client, "/v1/explain", png(), params=params, headers={"x-request-id": request_id})


async def test_canary_is_explained_for_its_share_and_named_versions_for_themselves():
    explainer = FakeExplainer()

    def edit(plan: ServingPlan) -> ServingPlan:
        return plan.model_copy(update={"policy": "1", "canary": Canary(version="2", weight=50)})

    async with gateway(TwoVersions(), explainer, "classification", f"{MODEL}@1", f"{MODEL}@2") as (client, registry):
        await registry.plans.change(MODEL, edit)
        for number in range(40):
            assert (await explained(client, f"r{number}")).status_code == 200
        shares = Counter(item.model for item in explainer.asked)
        explainer.asked.clear()
        for version in ("1", "2"):
            assert (await explained(client, "x", model=f"{MODEL}@{version}")).status_code == 200
        unknown = await explained(client, "x", model=f"{MODEL}@3")
    assert set(shares) == {f"{MODEL}@1", f"{MODEL}@2"} and min(shares.values()) > 5
    assert [item.model for item in explainer.asked] == [f"{MODEL}@1", f"{MODEL}@2"]
    assert unknown.status_code == 404 and "there are: 2, 1" in unknown.text


async def test_cold_model_is_explained_without_loading_it():
    explainer = FakeExplainer()
    names = (f"{COLD}@1", f"{COLD}@2")
    async with gateway(Idle(), explainer, "detection", *names, preload=()) as (client, registry):
        responses = [await explained(client, "x"), await explained(client, "x", model=COLD)]
        responses.append(await explained(client, "x", model=f"{COLD}@2"))
        older = await explained(client, "x", model=f"{COLD}@1")
        unknown = await explained(client, "x", model="nothing")
        text = await post(client, "/v1/explain", b"hello")
        assert registry.is_cold(COLD)
    assert [each.status_code for each in responses] == [200] * 3, responses[0].text
    assert [item.model for item in explainer.asked] == [f"{COLD}@2"] * 3
    assert older.status_code == 404 and f"no version '1' of {COLD} is loaded; there are: 2" in older.text
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_model")
    assert text.status_code == 415


async def test_box_loads_a_cold_detector_and_no_cold_classifier():
    explainer = FakeExplainer()
    for task, message in (
        ("classification", f"box is for detectors and instance segmenters: leave it out for {COLD}"),
        ("detection", f"the catalog has no {COLD}@1"),  # which is what loading it says
    ):
        async with gateway(Idle(), explainer, task, f"{COLD}@1", preload=()) as (client, _):
            response = await explained(client, "x", box=0)
        assert message in response.json()["error"]["message"]
    assert not explainer.asked
