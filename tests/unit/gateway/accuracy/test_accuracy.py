"""Accuracy beside latency: recorded runs, live accuracy and drift, as requests and scrapes see them."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from services.accuracy.drift import Distribution, Summary
from services.accuracy.store import RecordedRun, record_run
from services.answers.wire import Item, Outcome
from services.client import AsyncClient, Classification
from services.gateway.accuracy.feedback_store import FeedbackStore, MemoryStore, RedisStore, StoreFailed
from services.gateway.schemas import AccuracyOverview
from services.gateway.serving.pipelined_redis import PipelinedRedis
from services.local.embedded_cache import EmbeddedCache
from services.settings import Settings
from services.telemetry import COMPUTED_GAUGES
from tests.checkout import DOCS
from tests.unit.gateway.test_detection import FakeDetector
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, classify, make_app, png, post
from tests.unit.serving import serving

LABELS = ("model", "version", "dataset", "metric", "kind")
RUN = RecordedRun(
    model="efficientnet-lite0",
    version="1",
    weights_digest="d",
    kind="classification",
    dataset="imagenet-sample",
    dataset_digest="0123456789abcdef",
    through="adapter",
    images=500,
    finished_at_s=1_700_000_000.0,
    figures={"top1": (0.88, 0.85, 0.91), "roc_auc": (math.nan, math.nan, math.nan)},
    protocol={"top_k": 5},
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.accuracy.overview.READ_INTERVAL_S", 0.01)
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(accuracy_file=tmp_path / "accuracy.jsonl", redis_url=None)


@asynccontextmanager
async def running(
    settings: Settings, backend: FakeBackend | None = None, store: FeedbackStore | None = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that does in the background what it does there."""
    options = {"accuracy_file": settings.accuracy_file, "redis_url": settings.redis_url, **options}
    app = await make_app(backend or FakeBackend(), MemoryCache(), store, **options)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client


async def gauges(client: httpx.AsyncClient, name: str) -> dict[tuple[str, ...], float]:
    """The values of a gauge by those of its labels, in the order of `LABELS`."""
    text = (await client.get("/metrics")).text
    return {
        tuple(sample.labels[label] for label in LABELS if label in sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


async def until(ask: Callable[[], Any], expected: Any) -> None:
    """Ask again and again until the answer is the expected one, for two seconds."""
    for _ in range(200):
        if await ask() == expected:
            return
        await asyncio.sleep(0.01)
    assert await ask() == expected


async def accuracy_of(client: httpx.AsyncClient, index: int = 0) -> dict[str, Any]:
    response = await client.get("/v1/accuracy")
    AccuracyOverview.model_validate_json(response.content)
    return response.json()["models"][index]


async def test_recorded_run_appears_and_a_newer_one_takes_its_place(settings: Settings):
    async with running(settings) as client:
        assert await gauges(client, "tapetum_model_accuracy") == {}
        record_run(RUN, settings)
        label = ("efficientnet-lite0", "1", "imagenet-sample", "top1")
        await until(lambda: gauges(client, "tapetum_model_accuracy"), {label: 0.88})
        (age,) = (await gauges(client, "tapetum_model_accuracy_age_seconds")).values()
        assert age == pytest.approx(time.time() - RUN.finished_at_s, abs=2)
        newer = replace(RUN, finished_at_s=RUN.finished_at_s + 1, figures={"top5": (0.97, 0.96, 0.98)})
        record_run(newer, settings)
        await until(lambda: gauges(client, "tapetum_model_accuracy"), {(*label[:3], "top5"): 0.97})
        assert settings.accuracy_file is not None
        settings.accuracy_file.unlink()
        await until(lambda: gauges(client, "tapetum_model_accuracy"), {})


@pytest.mark.parametrize("change", [{"weights_digest": "older"}, {"version": "0"}, {"model": "not-served"}])
async def test_figures_of_other_weights_are_no_gauge(settings: Settings, change: dict[str, Any]):
    record_run(RUN, settings)
    record_run(replace(RUN, dataset="other", finished_at_s=RUN.finished_at_s + 1, **change), settings)
    async with running(settings) as client:
        label = ("efficientnet-lite0", "1", "imagenet-sample", "top1")
        await until(lambda: gauges(client, "tapetum_model_accuracy"), {label: 0.88})
        shown = (await client.get("/v1/models/efficientnet-lite0")).json()["measured_accuracy"]
    matches = {run["dataset"]: run["weights_match"] for run in shown}
    assert matches == {"imagenet-sample": True, **({} if "model" in change else {"other": False})}


async def test_model_shows_its_runs_with_intervals_and_protocol(settings: Settings):
    record_run(RUN, settings)
    async with running(settings) as client:
        (run,) = await recorded(client)
        other = (await client.get("/v1/models/noop")).json()
        listed = (await client.get("/v1/models")).json()["models"][0]
    assert run.pop("age_s") > 0
    assert run == {
        "dataset": "imagenet-sample",
        "dataset_digest": "0123456789abcdef",
        "kind": "classification",
        "through": "adapter",
        "images": 500,
        "finished_at": "2023-11-14T22:13:20+00:00",
        "version": "1",
        "weights_match": True,
        "figures": {
            "top1": {"value": 0.88, "low": 0.85, "high": 0.91},
            "roc_auc": {"value": None, "low": None, "high": None},
        },
        "protocol": {"top_k": 5},
    }
    assert other["measured_accuracy"] == []
    assert "measured_accuracy" not in listed


async def recorded(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The runs of the first model, once there are some."""
    for _ in range(200):
        if runs := (await client.get("/v1/models/efficientnet-lite0")).json()["measured_accuracy"]:
            return runs
        await asyncio.sleep(0.01)
    return []


async def test_data_sets_are_few_and_their_names_are_short(settings: Settings):
    for number in range(25):
        record_run(replace(RUN, dataset=f"{number:>120}", finished_at_s=float(number)), settings)
    record_run(replace(RUN, dataset='quoted "name"\nof two lines', finished_at_s=99.0), settings)
    async with running(settings) as client:
        await recorded(client)
        labels = await gauges(client, "tapetum_model_accuracy")
    assert {label[2] for label in labels} == {" " * 100, 'quoted "name"\nof two lines'}


async def test_live_accuracy_slides_and_stands_beside_the_offline_one(settings: Settings):
    record_run(RUN, settings)
    async with running(settings, Cats(), feedback_window=4) as client:
        for shade, name in enumerate(("crane", "crane", "tabby", "tabby", "tabby")):
            await told(client, png(shade), {"class": name})
        await recorded(client)
        overview = await accuracy_of(client)
        assert overview["offline"][0]["figures"]["top1"]["value"] == 0.88
        assert (overview["live"]["samples"], overview["live"]["figures"]) == (4, {"top1": 0.75})
        assert await gauges(client, "tapetum_live_accuracy") == {("efficientnet-lite0", "1", "top1"): 0.75}
        assert await gauges(client, "tapetum_live_accuracy_samples") == {("efficientnet-lite0", "1"): 4.0}


class Cats(FakeBackend):
    entry = {**FakeBackend.entry, "class_names": ["tabby", "crane"]}  # noqa: RUF012  # read only

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        return [{"class_id": 0, "class_name": "tabby", "probability": 0.5}]


async def told(client: httpx.AsyncClient, image: bytes, target: dict[str, Any]) -> None:
    request_id = (await classify(client, image)).json()["request_id"]
    response = await client.post("/v1/feedback", json={"request_id": request_id, "target": target})
    assert response.status_code == 200, response.text


async def test_feedback_on_weights_that_were_replaced_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.serving.versions.STILL_SERVED_S", 0.5)
    backend = Cats()
    async with running(settings, backend) as client:
        request_id = (await classify(client, png())).json()["request_id"]
        backend.entry = {**backend.entry, "weights_digest": "new"}
        await client.get("/readyz")
        await asyncio.sleep(1.1)
        await client.get("/readyz")
        response = await client.post("/v1/feedback", json={"request_id": request_id, "target": {"class": 0}})
        assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_answer")
        assert "served no more" in response.json()["error"]["message"]
        overview = await accuracy_of(client)
    assert (overview["weights_digest"], overview["live"]) == ("new", None)


class Drifting(FakeDetector):
    """Finds one object of a class and a score that the test sets, and summarises it as a replica does."""

    class_id, score = 0, 0.85

    def _answer(self, item: Item) -> Outcome:
        return super()._answer(item)._replace(summary=Summary(self.class_id, self.score))


def reference(images: int, class_id: int, score: float) -> dict[str, Any]:
    counted = Distribution()
    for _ in range(images):
        counted.add(Summary(class_id, score))
    return counted.to_dict()


DETECTOR_RUN = replace(RUN, model="street-net", kind="detection", reference=reference(200, 0, 0.85))


async def ask_many(client: httpx.AsyncClient, images: range, **params: Any) -> None:
    for number in images:
        response = await post(client, "/v1/detect", png(number % 256, (3 + number // 256, 2)), params=params)
        assert response.status_code == 200


async def images_seen(client: httpx.AsyncClient) -> int:
    return ((await accuracy_of(client))["drift"] or {"images": 0})["images"]


async def test_drift_is_told_from_a_hundred_images_on(settings: Settings):
    record_run(DETECTOR_RUN, settings)
    backend = Drifting()
    async with running(settings, backend, drift_window=150) as client:
        await ask_many(client, range(99))
        await until(lambda: images_seen(client), 99)
        assert await gauges(client, "tapetum_model_drift") == {}
        await ask_many(client, range(99, 100))
        same = {("street-net", "1", "score"): 0.0, ("street-net", "1", "class"): 0.0}
        await until(lambda: gauges(client, "tapetum_model_drift"), same)
        backend.class_id, backend.score = 1, 0.35
        await ask_many(client, range(100, 250))
        await until(lambda: images_seen(client), 150)
        values = await gauges(client, "tapetum_model_drift")
        by_chance = await gauges(client, "tapetum_model_drift_by_chance")
        drift = (await accuracy_of(client))["drift"]
    assert set(values) == set(same) and min(values.values()) > 5
    assert (drift["dataset"], drift["reference_images"]) == ("imagenet-sample", 500)
    assert drift["expected_by_chance"] == {
        "score": pytest.approx(1 / 200 + 1 / 150, abs=1e-6),
        "class": pytest.approx(1 / 200 + 1 / 150, abs=1e-6),
    }
    assert by_chance == pytest.approx(dict.fromkeys(same, 1 / 200 + 1 / 150))


async def test_drift_counts_only_what_the_models_own_defaults_would_have_given(settings: Settings):
    backend = Drifting()
    async with running(settings, backend) as client:
        await ask_many(client, range(2))
        await ask_many(client, range(2))  # from the cache
        await ask_many(client, range(2, 4), classes="person")
        await ask_many(client, range(4, 6), score_threshold=0.31)
        await post(client, "/v1/detect", png(200), headers={"cache-control": "no-store"})
        backend.score = 0.2
        await ask_many(client, range(6, 9), score_threshold=0.1)
        await until(lambda: images_seen(client), 5)


async def test_finding_below_the_models_own_threshold_counts_as_none(settings: Settings):
    backend = Drifting()
    backend.score = 0.2
    record_run(replace(DETECTOR_RUN, reference=reference_of_nothing(100)), settings)
    async with running(settings, backend) as client:
        await ask_many(client, range(100), score_threshold=0.1)
        same = {("street-net", "1", "score"): 0.0, ("street-net", "1", "class"): 0.0}
        await until(lambda: gauges(client, "tapetum_model_drift"), same)


def reference_of_nothing(images: int) -> dict[str, Any]:
    counted = Distribution()
    for _ in range(images):
        counted.add(Summary(None, 0.0))
    return counted.to_dict()


class FailingStore(MemoryStore):
    fails = False

    async def push(self, window: str, entries: Any, size: int) -> None:
        if self.fails:
            raise StoreFailed("ConnectionError")
        await super().push(window, entries, size)


async def test_store_that_fails_for_a_while_loses_nothing_that_was_seen(settings: Settings):
    store = FailingStore()
    async with running(settings, Drifting(), store) as client:
        await ask_many(client, range(3))
        await until(lambda: images_seen(client), 3)
        store.fails = True
        with capture_logs() as logs:
            await ask_many(client, range(3, 6))
            await asyncio.sleep(0.1)
            assert await images_seen(client) == 3
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["live accuracy cannot be read"]
        store.fails = False
        await until(lambda: images_seen(client), 6)


async def test_gateways_on_one_server_tell_the_same(settings: Settings, cache_server: EmbeddedCache):
    shared = settings.model_copy(update={"redis_url": cache_server.url})
    record_run(DETECTOR_RUN, shared)
    stores = [RedisStore(cache_server.url, PipelinedRedis(cache_server.url, 0.5), timeout_s=0.5) for _ in range(2)]
    async with running(shared, Drifting(), stores[0]) as one, running(shared, Drifting(), stores[1]) as other:
        await ask_many(one, range(60))
        await ask_many(other, range(60, 120))
        for client in (one, other):
            await until(lambda client=client: images_seen(client), 120)
            label = ("street-net", "1", "imagenet-sample", "top1")
            await until(lambda client=client: gauges(client, "tapetum_model_accuracy"), {label: 0.88})


async def test_client_gives_feedback_and_reads_accuracy(settings: Settings):
    app = await make_app(Cats(), MemoryCache(), None, accuracy_file=settings.accuracy_file)
    async with AsyncClient("http://gateway", transport=httpx.ASGITransport(app)) as client:
        answer, _ = await client.classify_many([png(1), png(2)])
        assert isinstance(answer, Classification)
        told = [await client.feedback(answer.request_id, {"class": "tabby"}, index=index) for index in (0, 1)]
        (first, second) = await client.accuracy()
    assert [one.figures for one in told] == [{"top1": 1.0}] * 2
    assert first.live == told[1].live and first.live is not None and first.live["samples"] == 2
    assert (first.name, first.offline, second.live, second.drift) == ("efficientnet-lite0", (), None, None)


@pytest.mark.parametrize("gauge", COMPUTED_GAUGES, ids=lambda gauge: gauge.name)
def test_gauge_is_documented_as_it_is(gauge: Any):
    labels = ", ".join(f"`{label}`" for label in gauge.labels)
    assert f"| `{gauge.name}` | gauge | {labels} | {gauge.documentation} |" in (DOCS / "metrics.md").read_text()


async def test_scrape_is_well_formed_with_all_gauges(settings: Settings):
    record_run(RUN, settings)
    async with running(settings, Cats()) as client:
        await recorded(client)
        await told(client, png(9), {"class": 0})
        text = (await client.get("/metrics")).text
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert {gauge.name for gauge in COMPUTED_GAUGES} <= set(names)


async def test_example_of_the_page_runs(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (example,) = re.findall(r"^```python\n(.*?)^```", (DOCS / "accuracy.md").read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "photo.png").write_bytes(png())
    app = await make_app(Cats(), MemoryCache(), None, accuracy_file=settings.accuracy_file)
    with capture_logs(), serving(app) as url:
        code = example.replace("http://localhost:8000", url).replace("photo.jpg", str(tmp_path / "photo.png"))
        await asyncio.to_thread(exec, code, {})
    assert capsys.readouterr().out == "{'top1': 1.0}\n"
