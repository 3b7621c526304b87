"""Answers are labelled, cached and counted by the version that gave them, whatever the gateway expected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import pytest

from services.answers.wire import Item, Outcome
from services.deployments.identity import answering_sources, digest_of
from services.errors import ServiceError
from services.gateway.accuracy.feedback_store import MemoryStore
from services.kinds.classification import ClassifyListAnswer
from services.kinds.detection import DetectAnswer
from tests.unit.gateway.accuracy.feedback_fakes import Cats, error_of, tell
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, classify, gateway, identified, make_app, png, post, sign

MODEL = "efficientnet-lite0"


class Rolling(FakeBackend):
    """Replicas of two versions: `described` is the one that is asked what it has, and `answering` are those asked next.

    The name of the class in an answer is the version that gave it.
    """

    entry: dict[str, Any] = {**FakeBackend.entry, "class_names": ["1", "2"]}  # noqa: RUF012  # read only

    def __init__(self, *answering: str) -> None:
        super().__init__()
        self.answering = list(answering)

    def of_version(self, version: str, name: str) -> dict[str, Any]:
        return identified({**self.entry, "name": name, "version": version, "weights_digest": f"d{version}"})

    async def describe(self) -> list[dict[str, Any]]:
        return [self.of_version("1", name) for name in self.names]

    def _answer(self, item: Item) -> Outcome:
        version = self.answering.pop(0) if len(self.answering) > 1 else self.answering[0]
        body = {"image": {"height": 2, "width": 3}, "predictions": self.rows(version, item)}
        return sign(item, Outcome(orjson.dumps(body), None, {}), self.of_version(version, item.model))

    def rows(self, version: str, item: Item) -> list[dict[str, Any]]:
        return [{"class_id": int(version) - 1, "class_name": version, "probability": 0.5}]


def label_and_content(body: dict[str, Any]) -> tuple[str, str]:
    return body["version"], body["predictions"][0]["class_name"]


async def test_answer_names_the_version_that_gave_it_and_not_the_one_that_was_expected():
    async with gateway(Rolling("2"), MemoryCache()) as client:
        assert (await client.get(f"/v1/models/{MODEL}")).json()["version"] == "1"
        first, again = (await classify(client, png(1))).json(), (await classify(client, png(1))).json()
        assert (await client.get(f"/v1/models/{MODEL}")).json()["version"] == "2", "what answers is learnt"
    assert (label_and_content(first), first["cached"]) == (("2", "2"), False)
    assert (label_and_content(again), again["cached"]) == (("2", "2"), True), "it was cached as that of version 2"


async def test_label_and_content_agree_while_replicas_of_two_versions_answer():
    versions = ["1", "2", "2", "1", "2", "1", "1", "1", "2", "2"]
    async with gateway(Rolling(*versions), MemoryCache()) as client:
        answers = [(await classify(client, png(shade))).json() for shade in range(len(versions))]
        cached = [(await classify(client, png(shade))).json() for shade in range(len(versions))]
    assert [label_and_content(answer) for answer in answers] == [(version, version) for version in versions]
    assert all(label == content for label, content in map(label_and_content, cached))
    assert {label_and_content(answer) for answer in cached if answer["cached"]} == {("2", "2")}


async def test_results_of_a_list_by_another_version_name_it():
    backend = Rolling("1", "2", "1")
    files = [("image", png(shade)) for shade in range(3)]
    async with gateway(backend) as client:
        body = (await client.post("/v1/classify", files=files)).json()
    ClassifyListAnswer.model_validate(body)
    assert body["version"] == "1"
    assert [result.get("version") for result in body["results"]] == [None, "2", None]
    assert [result["predictions"][0]["class_name"] for result in body["results"]] == ["1", "2", "1"]


async def test_feedback_and_drift_count_for_the_version_that_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", 0.0)
    store = MemoryStore()
    app = await make_app(Rolling("1", "2", "1", "2"), MemoryCache(), store)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        for shade in range(4):
            answer = (await classify(client, png(shade))).json()
            told = (await tell(client, answer["request_id"], {"class": answer["version"]})).json()
            assert (told["version"], told["figures"]) == (answer["version"], {"top1": 1.0})
    windows = {name: len(entries) for name, entries in store.windows.items()}
    assert windows == {f'feedback:["{MODEL}","{version}","d{version}"]': 2 for version in ("1", "2")}


class Renumbered(Rolling):
    """Detectors: version 2 has its classes in another order, and finds what it is told to, by its number."""

    names = ("street-net",)
    entry: dict[str, Any] = {  # noqa: RUF012  # read only
        **FakeBackend.entry,
        "task": "detection",
        "defaults": {},
    }

    def of_version(self, version: str, name: str) -> dict[str, Any]:
        names = ["person", "dog"] if version == "1" else ["dog", "person"]
        return identified({**super().of_version(version, name), "class_names": names})

    def rows(self, version: str, item: Item) -> list[dict[str, Any]]:
        (class_id,) = item.parameters["class_ids"]
        name = self.of_version(version, item.model)["class_names"][class_id]
        box = {"x_min": 0.0, "y_min": 0.0, "x_max": 1.0, "y_max": 1.0}
        return [{"box": box, "class_id": class_id, "class_name": name, "score": 0.9}]


async def test_request_is_put_again_where_the_version_that_answered_has_other_classes():
    backend, cache = Renumbered("2"), MemoryCache()
    async with gateway(backend, cache) as client:
        body = (await post(client, "/v1/detect", png(), params={"classes": "person"})).json()
    DetectAnswer.model_validate(body)
    assert label_and_content(body) == ("2", "person")
    assert [call[0].parameters["class_ids"] for call in backend.calls] == [(0,), (1,)]
    assert len(cache.bodies) == 1, "what was misunderstood is not kept"


async def test_request_that_each_version_misunderstands_is_refused_for_a_moment():
    async with gateway(Renumbered("2", "1", "2"), MemoryCache()) as client:
        told = await post(client, "/v1/detect", png(), params={"classes": "person"})
    assert error_of(told) == (503, "not_ready")


class Anonymous(FakeBackend):
    """Does not say who answers."""

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        return [self._answer(item)._replace(identity=b"x" * 16) for item in items]


async def test_answer_of_an_unknown_replica_is_not_sent():
    cache = MemoryCache()
    async with gateway(Anonymous(), cache) as client:
        assert error_of(await classify(client, png())) == (503, "backend_failed")
    assert cache.bodies == {}


async def test_version_that_is_heard_of_no_more_gives_way_to_the_one_that_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.serving.versions.STILL_SERVED_S", 0.05)
    backend = Rolling("2", "1")
    async with gateway(backend) as client:
        await classify(client, png(1))
        await asyncio.sleep(0.1)
        await classify(client, png(2))
        assert (await client.get(f"/v1/models/{MODEL}")).json()["version"] == "1"


@pytest.mark.parametrize(
    "name", ["models/imaging/decoding.py", "services/answers/wire.py", "services/deployments/host.py"]
)
def test_edit_of_the_code_that_answers_changes_its_digest(name: str):
    sources = dict(answering_sources())
    before = digest_of(sources.items(), {"torch": "2"})
    assert digest_of(sources.items(), {"torch": "3"}) != before
    sources[name] += b"# edited"
    assert digest_of(sources.items(), {"torch": "2"}) != before


async def test_cached_answer_of_other_code_is_not_served():
    cache = MemoryCache()
    for code, cached in (("old", False), ("old", True), ("new", False)):
        backend = FakeBackend()
        backend.entry = {**backend.entry, "code_digest": code}
        async with gateway(backend, cache) as client:
            assert (await classify(client, png())).json()["cached"] is cached


GARBAGE = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"not json",
    b'{"image":{"height":2,"width":3},"predictions":[{"class_id":0,"class_name":"x","probability":null}]}',
    b'{"image":{"height":2,"width":3},"predictions":[{"class_id":0,"class_name":"x","probability":NaN}]}',
    b'{"image":{"height":2,"width":3},"predictions":[{"class_id":0,"class_name":"x","score":0.5}]}',
    b'{"image":{"height":2,"width":3},"predictions":[],"model":"mine"}',
    b'{"image":{"height":2,"width":3}}',
    b' {"image":{"height":2,"width":3},"predictions":[]}',
    b'{"image":{"height":2,"width":3},"predictions":[' + b"0," * 20_000 + b"0]}",
)


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_cached_value_that_is_no_answer_is_never_sent(garbage: bytes):
    cache = MemoryCache()
    async with gateway(FakeBackend(), cache) as client:
        first = (await classify(client, png())).json()
        (key,) = cache.bodies
        cache.bodies[key] = garbage
        before = await errors(client)
        again = (await classify(client, png())).json()
        assert (again["cached"], again["predictions"]) == (False, first["predictions"])
        assert await errors(client) == before + 1
        assert (await classify(client, png())).json()["cached"] is True, "and is overwritten"


async def errors(client: httpx.AsyncClient) -> float:
    """Look-ups in the cache that failed."""
    lines = (await client.get("/metrics")).text.splitlines()
    ours = [line for line in lines if line.startswith("tapetum_cache_requests_total{") and 'outcome="error"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in ours)


TWO_KEYS = {"api_keys": "one-key,other-key"}


def as_key(key: str, **headers: str) -> dict[str, str]:
    return {"x-api-key": key, **headers}


async def test_nobody_judges_or_replaces_the_answers_of_another_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", 0.0)
    mine, other = as_key("one-key", **{"x-request-id": "a"}), as_key("other-key", **{"x-request-id": "a"})
    async with gateway(Cats(), MemoryCache(), **TWO_KEYS) as client:
        await classify(client, png(1), headers=mine)
        client.headers.update(as_key("other-key"))
        of_another, of_nobody = [await tell(client, one, {"class": "tabby"}) for one in ("a", "never-given")]
        files = [("image", png(1)), ("image", png(2))]
        await client.post("/v1/classify", files=files, headers=other)
        client.headers.update(as_key("one-key"))
        beyond = await tell(client, "a", {"class": "tabby"}, index=1)
        right = await tell(client, "a", {"class": "tabby"})
    assert error_of(of_another) == error_of(of_nobody) == (404, "unknown_answer")
    texts = [one.json()["error"]["message"].replace("never-given", "a") for one in (of_another, of_nobody)]
    assert texts[0] == texts[1]
    assert error_of(beyond) == (422, "invalid_parameters"), "the request of this key had one image"
    assert right.status_code == 200


@pytest.mark.parametrize("line", [b"", b"null", b"[]", b"[5]", b"[[]]", b'[["noop","1","d",["a"],"x"]]', b"\xff"])
async def test_receipt_that_is_none_is_as_good_as_nothing(line: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", 0.0)
    store = MemoryStore()
    app = await make_app(Cats(), MemoryCache(), store)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        request_id = (await classify(client, png())).json()["request_id"]
        (name,) = store.lines
        store.lines[name] = (store.lines[name][0], line)
        status, code = error_of(await tell(client, request_id, {"class": 0}))
    assert (status, code) in {(404, "unknown_answer"), (422, "invalid_parameters")}


async def test_feedback_on_anothers_answer_takes_as_long_as_on_none():
    async with gateway(Cats(), MemoryCache(), **TWO_KEYS) as client:
        answer = await classify(client, png(1), headers=as_key("one-key", **{"x-request-id": "a"}))
        assert answer.status_code == 200
        client.headers.update(as_key("other-key"))
        for request_id in ("a", "never-given"):
            started_at = time.perf_counter()
            await tell(client, request_id, {"class": "tabby"})
            assert time.perf_counter() - started_at > 0.19, "both are looked for a second time"


async def test_keys_share_the_cache_unless_it_is_turned_off():
    for shared, expected in ((True, [False, True, True]), (False, [False, False, True])):
        backend = FakeBackend()
        async with gateway(backend, MemoryCache(), cache_shared=shared, **TWO_KEYS) as client:
            headers = [as_key(key) for key in ("one-key", "other-key", "other-key")]
            answers = [await classify(client, png(), headers=one) for one in headers]
        assert [answer.json()["cached"] for answer in answers] == expected
        assert len({answer.headers["etag"] for answer in answers}) == (1 if shared else 2)


async def test_key_with_a_cache_of_its_own_joins_no_work_of_another():
    backend = FakeBackend()
    backend.takes_s = 0.05
    async with gateway(backend, MemoryCache(), cache_shared=False, **TWO_KEYS) as client:
        keys = ["one-key", "other-key", "one-key", "other-key"]
        await asyncio.gather(*(classify(client, png(), headers=as_key(key)) for key in keys))
    assert sum(len(call) for call in backend.calls) == 2


class SideBySide(Rolling):
    """Replicas with versions 9 and 10; each image is answered by the version that is asked for."""

    def of_version(self, version: str, name: str) -> dict[str, Any]:
        return {**super().of_version(version, name), "class_names": ["a"] * 10}

    async def describe(self) -> list[dict[str, Any]]:
        return [identified(self.of_version(version, name)) for name in self.names for version in ("9", "10")]

    def _answer(self, item: Item) -> Outcome:
        self.answering = [item.version]
        return super()._answer(item)


async def test_newest_version_answers_and_others_are_asked_for_by_name():
    backend = SideBySide("9", "10")
    async with gateway(backend, MemoryCache()) as client:
        asked = {}
        for model in (MODEL, f"{MODEL}@9", f"{MODEL}@10"):
            response = await post(client, "/v1/classify", png(), params={"model": model})
            asked[model] = label_and_content(response.json())
        unknown = await post(client, "/v1/classify", png(), params={"model": f"{MODEL}@11"})
    assert asked == {MODEL: ("10", "10"), f"{MODEL}@9": ("9", "9"), f"{MODEL}@10": ("10", "10")}
    assert [(item.version, item.is_pinned) for call in backend.calls for item in call] == [("10", False), ("9", True)]
    assert error_of(unknown) == (404, "unknown_model")
    assert unknown.json()["error"]["details"]["versions"] == ["10", "9"]


async def test_all_versions_are_listed_and_the_default_one_is_marked():
    async with gateway(SideBySide("9", "10")) as client:
        body = (await client.get("/v1/models")).json()
        one = (await client.get(f"/v1/models/{MODEL}@9")).json()
    listed = [(entry["version"], "class_names" in entry) for entry in body["models"] if entry["name"] == MODEL]
    assert listed == [("10", False), ("9", False)]
    states = {each["version"]: each["is_default"] for each in body["versions"] if each["name"] == MODEL}
    assert (states["9"], states["10"]) == (False, True)
    assert (one["version"], len(one["class_names"])) == ("9", 10)
