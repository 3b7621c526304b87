"""Two versions of a model behind one gateway: canary by request id, and a shadow off the response path."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import REGISTRY

from services.answers.wire import Failure, Item, Outcome
from services.errors import ServiceError
from services.gateway.app import create_app
from services.gateway.serving.registry import Registry
from services.kinds.classification import ClassifyListAnswer
from services.model_deployment import ModelDeployment, ModelSpec
from services.rollout.canary import Canary
from services.rollout.serving_plan import ServingPlan
from services.rollout.shadow import Shadow
from services.settings import Settings
from services.topology import Topology
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, classify, identified, png, sign

pytestmark = pytest.mark.slow

MODEL = "net"
NAMES = ["1", "2", "both"]


class TwoVersions(FakeBackend):
    """Replicas that have versions 1 and 2; the best class of an answer is the version that gave it.

    Attributes:
        shadow_takes_s: How long an image of a shadow takes.
        shadow_failure: Why images of a shadow fail.
        says: Best class of a version, in place of its own name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shadow_takes_s = 0.0
        self.shadow_failure: Failure | None = None
        self.says: dict[str, str] = {}

    def entry_of(self, version: str) -> dict[str, Any]:
        entry = {**self.entry, "name": MODEL, "version": version, "weights_digest": f"d{version}"}
        return identified({**entry, "class_names": NAMES})

    async def describe(self) -> list[dict[str, Any]]:
        return [self.entry_of("1"), self.entry_of("2")]

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        self.calls.append(items)
        await asyncio.sleep(self.shadow_takes_s if items[0].is_shadow else self.takes_s)
        return [self.outcome_of(item) for item in items]

    def outcome_of(self, item: Item) -> Outcome:
        if item.is_shadow and self.shadow_failure:
            return Outcome(None, self.shadow_failure, {})
        name = self.says.get(item.version, item.version)
        rows = [{"class_id": NAMES.index(name), "class_name": name, "probability": 0.5}]
        body = {"image": {"height": 2, "width": 3}, "predictions": rows}
        return sign(item, Outcome(orjson.dumps(body), None, {}), self.entry_of(item.version))

    @property
    def shadowed(self) -> list[Item]:
        return [item for call in self.calls for item in call if item.is_shadow]


class Stack:
    """A gateway whose background tasks run, and its registry."""

    def __init__(self, client: httpx.AsyncClient, registry: Registry) -> None:
        self.client = client
        self.registry = registry

    async def change(self, **members: Any) -> None:
        def edit(plan: ServingPlan) -> ServingPlan:
            return plan.model_copy(update={"policy": "1", **members})

        await self.registry.plans.change(MODEL, edit)

    async def version_of(self, request_id: str, image: bytes | None = None, **params: str) -> str:
        response = await classify(
            self.client, png() if image is None else image, headers={"x-request-id": request_id}, params=params
        )
        assert response.status_code == 200, response.text
        return response.json()["version"]


@asynccontextmanager
async def stack(backend: FakeBackend, cache: MemoryCache | None = None, **options: Any) -> AsyncIterator[Stack]:
    specs = (ModelSpec(name=f"{MODEL}@1"), ModelSpec(name=f"{MODEL}@2"))
    deployment = ModelDeployment.model_construct(name="Fake", task="classification", models=specs)
    settings = Settings(**options)
    registry = Registry(Topology.model_construct(deployments=(deployment,)), {"Fake": backend})
    await registry.readiness()
    app = create_app(settings, registry, cache)
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(app.router.lifespan_context(app))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
        made = Stack(await opened.enter_async_context(client), registry)
        await made.change()
        yield made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_canary_gets_its_share_sticky_by_request_id():
    ids = [f"id-{number}" for number in range(200)]
    async with stack(TwoVersions()) as made:
        await made.change(canary=Canary(version="2", weight=25))
        first = [await made.version_of(each) for each in ids]
        again = await asyncio.gather(*map(made.version_of, ids))
        await made.change(canary=Canary(version="2", weight=60))
        later = [await made.version_of(each) for each in ids]
    assert first == again
    assert 30 <= first.count("2") <= 70
    assert all(then == "2" for now, then in zip(first, later, strict=True) if now == "2"), "no id moves back"


async def test_request_that_names_a_version_is_never_redirected():
    async with stack(TwoVersions()) as made:
        await made.change(canary=Canary(version="2", weight=100))
        assert await made.version_of("a") == "2"
        assert [await made.version_of(str(number), model="net@1") for number in range(20)] == ["1"] * 20


async def test_images_of_one_request_go_to_one_version():
    files = [("image", png(shade)) for shade in range(5)]
    seen: Counter[str] = Counter()
    async with stack(TwoVersions()) as made:
        await made.change(canary=Canary(version="2", weight=50))
        for number in range(20):
            headers = {"x-request-id": f"r{number}"}
            body = (await made.client.post("/v1/classify", files=files, headers=headers)).json()
            ClassifyListAnswer.model_validate(body)
            assert {result["predictions"][0]["class_name"] for result in body["results"]} == {body["version"]}
            seen[body["version"]] += 1
    assert min(seen["1"], seen["2"]) > 2


async def test_canary_that_has_ended_or_is_not_loaded_gets_nothing():
    async with stack(TwoVersions()) as made:
        for canary in (
            Canary(version="2", weight=100, until_s=time.time() - 1),
            Canary(version="3", weight=100),
            Canary(version="2", weight=0),
        ):
            await made.change(canary=canary)
            assert {await made.version_of(str(number)) for number in range(20)} == {"1"}


async def test_versions_do_not_share_cached_answers():
    cache = MemoryCache()
    async with stack(TwoVersions(), cache) as made:
        await made.change(canary=Canary(version="2", weight=50))
        versions = {await made.version_of(f"r{number}") for number in range(20)}
        assert len(cache.bodies) == 2
    assert versions == {"1", "2"}


async def test_requests_are_counted_by_version():
    async with stack(TwoVersions()) as made:
        await made.change(canary=Canary(version="2", weight=50))
        sent = Counter([await made.version_of(f"r{number}") for number in range(30)])
        traffic: dict[str, Any] = {}
        async with asyncio.timeout(5):
            while sum(one["traffic"]["requests"] for one in traffic.values()) < 30:
                await asyncio.sleep(0.1)
                told = (await made.client.get("/v1/models/net/traffic")).json()
                traffic = {one["version"]: one for one in told["versions"]}
        metrics = (await made.client.get("/metrics")).text
    assert {version: one["traffic"]["requests"] for version, one in traffic.items()} == sent
    assert sum(traffic["2"]["traffic"]["latencies"].values()) == sent["2"]
    assert 'tapetum_requests_total{model="net",outcome="ok",task="classification",version="2"}' in metrics


async def test_traffic_of_an_unknown_model_is_a_404():
    async with stack(TwoVersions()) as made:
        response = await made.client.get("/v1/models/nothing/traffic")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_model")


ADMIN = {"x-api-key": "an-admin"}


async def put(made: Stack, changes: object, headers: dict[str, str] = ADMIN) -> httpx.Response:
    return await made.client.put("/v1/models/net/plan", json=changes, headers=headers)


async def test_plan_is_changed_by_its_members_and_the_others_stay():
    async with stack(TwoVersions(), admin_keys="an-admin") as made:
        canary = (await put(made, {"canary": {"version": 2, "weight": 5, "ttl_s": 60}})).json()
        shadow = (await put(made, {"shadow": {"version": "2", "share": 0.1}})).json()
        ended = (await put(made, {"canary": None})).json()
        shown = (await made.client.get("/v1/models/net/plan", headers=ADMIN)).json()
    until_s = canary["canary"].pop("until_s")
    assert until_s == pytest.approx(time.time() + 60, abs=10)
    assert (canary["policy"], canary["canary"], canary["shadow"]) == ("1", {"version": "2", "weight": 5}, None)
    assert (shadow["canary"]["weight"], shadow["shadow"]) == (5, {"version": "2", "share": 0.1})
    assert (ended["canary"], ended["shadow"]) == (None, {"version": "2", "share": 0.1})
    assert shown == ended


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"canary": {"version": "3", "weight": 5}}, 404, "unknown_model"),
        ({"shadow": {"version": "3", "share": 0.5}}, 404, "unknown_model"),
        ({"policy": "3"}, 404, "unknown_model"),
        ({"canary": {"version": "2", "weight": 101}}, 422, "invalid_parameters"),
        ({"canary": {"version": "2", "weight": 5, "ttl_s": 0}}, 422, "invalid_parameters"),
        ({"canary": {"weight": 5}}, 422, "invalid_parameters"),
        ({"shadow": {"version": "2", "share": 1.5}}, 422, "invalid_parameters"),
        ({"mirror": {"version": "2"}}, 422, "invalid_parameters"),
        ([], 400, "malformed_request"),
    ],
)
async def test_invalid_change_of_the_plan_changes_nothing(changes: object, status: int, code: str):
    async with stack(TwoVersions(), admin_keys="an-admin") as made:
        before = made.registry.plans.plan(MODEL)
        refused = await put(made, changes)
        after = made.registry.plans.plan(MODEL)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text
    assert after == before


async def test_plan_is_for_administrators():
    async with stack(TwoVersions(), admin_keys="an-admin") as made:
        refused = await put(made, {"canary": {"version": "2", "weight": 5}}, {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")


async def test_client_sees_the_disagreements_of_its_own_requests_and_an_administrator_all():
    keys = {"api_keys": "first,second", "admin_keys": "an-admin"}
    listed: dict[str, list[str]] = {}
    async with stack(backend := TwoVersions(), MemoryCache(), **keys) as made:
        await made.change(shadow=Shadow(version="2", share=1))
        for number, key in enumerate(("first", "second")):
            headers = {"x-api-key": key, "x-request-id": f"of-{key}"}
            await classify(made.client, png(number), headers=headers)
        await until(lambda: len(backend.shadowed) == 2)
        await asyncio.sleep(0.1)
        for key in ("first", "second", "an-admin"):
            told = (await made.client.get("/v1/models/net/disagreements", headers={"x-api-key": key})).json()
            listed[key] = [one["request_id"] for one in told["disagreements"]]
    assert listed == {"first": ["of-first"], "second": ["of-second"], "an-admin": ["of-second", "of-first"]}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_shadow_answers_a_sample_beside_the_requests():
    backend = TwoVersions()
    requests = {"task": "classification", "model": MODEL, "version": "2", "outcome": "ok"}
    before = counted("tapetum_requests_total", **requests)
    async with stack(backend, cache := MemoryCache()) as made:
        await made.change(shadow=Shadow(version="2", share=0.5))
        answered = [await made.version_of(f"r{number}", png(number)) for number in range(30)]
        sampled = sum(Shadow(version="2", share=0.5).samples(MODEL, f"r{number}") for number in range(30))
        await until(lambda: len(backend.shadowed) == sampled)
        assert len(cache.bodies) == 30, "the answers of a shadow are not stored"
    assert answered == ["1"] * 30
    assert {(item.version, item.is_pinned) for item in backend.shadowed} == {("2", True)}
    assert counted("tapetum_requests_total", **requests) == before, "nor counted as requests"


@pytest.mark.parametrize("failure", [Failure(500, "internal_error", "no", {}), Failure(503, "overloaded", "no", {})])
async def test_shadow_that_fails_harms_nothing(failure: Failure):
    backend = TwoVersions()
    backend.shadow_failure = failure
    async with stack(backend) as made:
        await made.change(shadow=Shadow(version="2", share=1))
        assert [await made.version_of(str(number)) for number in range(10)] == ["1"] * 10
        await until(lambda: len(backend.shadowed) == 10)


async def test_shadow_that_is_slow_delays_nothing():
    backend = TwoVersions()
    backend.shadow_takes_s = 30.0
    async with stack(backend) as made:
        await made.change(shadow=Shadow(version="2", share=1))
        started_at = time.monotonic()
        assert await asyncio.gather(*(made.version_of(str(number)) for number in range(100))) == ["1"] * 100
        assert time.monotonic() - started_at < 10
        assert len(backend.shadowed) == 1, "one at a time; the others wait in a bounded queue, or are dropped"


async def test_shadow_sees_neither_cached_nor_private_nor_pinned_requests():
    backend = TwoVersions()
    async with stack(backend, MemoryCache()) as made:
        await made.version_of("a", png(1))
        await made.change(shadow=Shadow(version="2", share=1))
        await made.version_of("cached", png(1))
        await made.version_of("pinned", png(2), model="net@1")
        await classify(made.client, png(3), headers={"cache-control": "no-store"})
        await made.version_of("b", png(4))
        await until(lambda: bool(backend.shadowed))
        await asyncio.sleep(0.05)
    assert [item.image for item in backend.shadowed] == [png(4)]


async def test_disagreements_are_listed_and_take_feedback():
    backend = TwoVersions()
    async with stack(backend, MemoryCache()) as made:
        await made.change(shadow=Shadow(version="2", share=1))
        await made.version_of("they-differ", png(1))
        backend.says = {"1": "both", "2": "both"}
        await made.version_of("they-agree", png(2))
        listed: list[dict[str, Any]] = []
        async with asyncio.timeout(5):
            while not listed or len(backend.shadowed) < 2:
                await asyncio.sleep(0.02)
                listed = (await made.client.get("/v1/models/net/disagreements")).json()["disagreements"]
        feedback = {"request_id": listed[0]["request_id"], "index": listed[0]["index"], "target": {"class": "2"}}
        told = (await made.client.post("/v1/feedback", json=feedback)).json()
    (found,) = listed
    assert (found["request_id"], found["primary"], found["shadow"]) == ("they-differ", "1", "2")
    assert found["figures"] == {"top1": 0.0}
    assert (told["version"], told["figures"]) == ("1", {"top1": 0.0})
