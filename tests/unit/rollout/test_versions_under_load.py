"""Versions are loaded, swapped and unloaded while requests are answered: none fails, and each answer is labelled."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator

import httpx
import pytest

from tests.unit.version_stack import ADMIN, MODEL, VersionStack, load_on, photo, version_stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def stack(tmp_path) -> Iterator[VersionStack]:
    """Two replicas with version 1; version 2 is in the catalog."""
    with version_stack(tmp_path, [f"{MODEL}@1"]) as made:
        yield made


def until(condition, timeout_s: float = 20.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_swap_to_a_new_version_and_back_loses_no_request(stack: VersionStack):
    with load_on(stack.url) as load:
        until(lambda: load.by_version["1"] > 50)
        loaded = stack.admin("load", "2")
        assert (loaded.status_code, loaded.json()["state"]) == (200, "loaded")
        until(lambda: load.last_version() == "2")
        assert stack.admin("unload", "1").json()["state"] == "unloaded"
        swapped = load.by_version["2"]
        until(lambda: load.by_version["2"] > swapped + 50)
        assert stack.admin("load", "1").json()["state"] == "loaded"
        assert stack.admin("unload", "2").json()["state"] == "unloaded"
        until(lambda: load.last_version() == "1")
    assert (load.failures, load.mislabelled) == ([], [])
    assert stack.versions() == {"1": "loaded"}
    assert set(load.by_version) == {"1", "2"}


def test_versions_side_by_side_are_asked_for_by_name(stack: VersionStack):
    stack.admin("load", "2")
    asked = {model: stack.detect(photo(1), model).json()["version"] for model in (MODEL, f"{MODEL}@1", f"{MODEL}@2")}
    assert asked == {MODEL: "2", f"{MODEL}@1": "1", f"{MODEL}@2": "2"}
    unknown = stack.detect(photo(1), f"{MODEL}@3")
    error = unknown.json()["error"]
    assert (unknown.status_code, error["code"], error["details"]["versions"]) == (404, "unknown_model", ["2", "1"])
    assert "there are: 2, 1" in error["message"]
    listed = httpx.get(f"{stack.url}/v1/models").json()
    assert [(entry["name"], entry["version"]) for entry in listed["models"]] == [(MODEL, "2"), (MODEL, "1")]
    assert [(each["version"], each["is_default"]) for each in listed["versions"]] == [("1", False), ("2", True)]


def test_pinned_version_answers_until_the_policy_changes(stack: VersionStack):
    url = f"{stack.url}/v1/models/{MODEL}/plan"
    assert httpx.put(url, json={"policy": "1"}, headers=ADMIN).json()["policy"] == "1"
    stack.admin("load", "2")
    time.sleep(0.5)
    assert stack.detect(photo(2)).json()["version"] == "1"
    refused = stack.admin("unload", "1").json()["error"]
    assert (refused["code"], refused["details"]) == ("version_in_use", {"policy": "1"})
    httpx.put(url, json={"policy": "newest"}, headers=ADMIN)
    until(lambda: stack.detect(photo(3)).json()["version"] == "2")


def test_version_whose_warm_up_fails_takes_no_request_and_the_old_one_stays(
    stack: VersionStack, monkeypatch: pytest.MonkeyPatch
):
    from models.detection.detector import Detector

    warm_up = Detector.warm_up

    def fail(self: Detector, max_batch_size: int) -> None:
        if self.entry.version == "2":
            raise RuntimeError(f"no kernel image in {stack.catalog}/kernels.so")
        warm_up(self, max_batch_size)

    monkeypatch.setattr(Detector, "warm_up", fail)
    with load_on(stack.url) as load:
        failed = stack.admin("load", "2")
        time.sleep(0.5)
    error = failed.json()["error"]
    assert (failed.status_code, error["code"]) == (422, "load_failed")
    assert error["details"]["reason"] == "RuntimeError: no kernel image in kernels.so", "without folders"
    assert (load.failures, load.mislabelled, set(load.by_version)) == ([], [], {"1"})
    listed = {each["version"]: each for each in httpx.get(f"{stack.url}/v1/models").json()["versions"]}
    assert (listed["2"]["state"], listed["2"]["reason"]) == ("failed", error["details"]["reason"])
    monkeypatch.undo()
    assert stack.admin("load", "2").json()["state"] == "loaded", "a load may be requested again"


def test_version_whose_weights_are_damaged_is_refused_with_the_reason(stack: VersionStack):
    (stack.catalog / f"{MODEL}@2.safetensors").write_bytes(b"no weights")
    error = stack.admin("load", "2").json()["error"]
    assert error["code"] == "load_failed"
    assert f"{MODEL}@2.safetensors" in error["message"]
    assert str(stack.catalog) not in error["message"]
    assert stack.detect(photo(4)).json()["version"] == "1"
    assert stack.admin("unload", "2").json()["state"] == "unloaded"
    assert stack.versions() == {"1": "loaded"}


def test_last_version_is_not_unloaded(stack: VersionStack):
    refused = stack.admin("unload", "1")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "version_in_use")
    assert stack.detect(photo(5)).status_code == 200


def test_replica_that_starts_later_loads_what_the_plan_says(stack: VersionStack):
    stack.admin("load", "2")
    stack.admin("unload", "1")
    started = stack.start_replica()
    assert [described["version"] for described in started.describe()] == ["2"]
    with load_on(stack.url) as load:
        until(lambda: load.by_version["2"] > 100)
    assert (load.failures, load.mislabelled) == ([], [])


def test_replica_that_has_not_loaded_a_version_yet_keeps_its_requests_waiting(stack: VersionStack):
    stack.admin("load", "2")
    late = stack.start_replica()
    stack.replicas.hosts[:] = [late]
    late._versions.retire(f"{MODEL}@2")  # as if it had started before the plan was changed
    response = stack.detect(photo(6), f"{MODEL}@2")
    assert (response.status_code, response.json()["version"]) == (200, "2")


def test_memory_of_an_unloaded_version_is_freed(stack: VersionStack):
    stack.admin("load", "2")
    networks = [weakref.ref(host._versions.get(f"{MODEL}@1").adapter) for host in stack.replicas.hosts]
    with load_on(stack.url) as load:
        until(lambda: load.by_version["2"] > 50)
    assert stack.admin("unload", "1").json()["state"] == "unloaded"
    gc.collect()
    until(lambda: not any(network() for network in networks), 5.0)


def test_cached_answers_are_those_of_the_version_that_is_asked_for(stack: VersionStack):
    stack.admin("load", "2")
    for version in ("1", "2"):
        first, again = (stack.detect(photo(7), f"{MODEL}@{version}").json() for _ in range(2))
        assert [one["version"] for one in (first, again)] == [version, version]
        assert [one["cached"] for one in (first, again)] == [False, True]
        assert {row["class_name"][-1] for row in again["predictions"]} == {version}


def test_only_administrators_load_and_unload(stack: VersionStack):
    for headers, code in (({}, "forbidden"), ({"x-api-key": "another"}, "forbidden")):
        refused = httpx.post(f"{stack.url}/v1/models/{MODEL}@2/load", headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, code)
    assert httpx.get(f"{stack.url}/v1/models/{MODEL}/plan").status_code == 403
    assert httpx.post(f"{stack.url}/v1/models/{MODEL}@2/load", headers=ADMIN, timeout=60).json()["state"] == "loaded"


WRONG = (
    (f"{MODEL}/load", b'{"version": "9"}', 404, f"there are: {MODEL}@2, {MODEL}@1"),
    ("nothing/load", b"", 404, "no model 'nothing' is served"),
    (f"{MODEL}/load", b'{"version": ["2"]}', 422, "version"),
    (f"{MODEL}/load", b'{"versoin": "2"}', 422, "versoin"),
    (f"{MODEL}/load", b"[]", 400, "JSON object"),
    (f"{MODEL}/load", b" " * 100_000, 413, "larger than 65536 bytes"),
    (f"{MODEL}@1/load", b'{"version": 2}', 422, "the path names 1"),
    (f"{MODEL}/unload", b"", 422, "name the version"),
    (f"{MODEL}/unload", b'{"version": "2"}', 404, "is not loaded; there are: 1"),
    (f"{MODEL}/unload", b'{"version": "\xff"}', 400, "JSON"),
)


def test_request_that_is_wrong_changes_nothing(stack: VersionStack):
    for path, body, status, says in WRONG:
        refused = httpx.post(f"{stack.url}/v1/models/{path}", content=body, headers=ADMIN)
        assert refused.status_code == status, path
        assert says in refused.json()["error"]["message"], path
    assert stack.store.read().plans == ()
