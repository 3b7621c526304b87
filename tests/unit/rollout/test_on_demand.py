"""Models that their first request loads, and that make room for each other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.deployments.host import ModelHost
from tests.unit.detector_cards import write_detector
from tests.unit.version_stack import ADMIN, MODEL, VersionStack, photo, version_stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

WARM, OTHER, BROKEN = "always-there", "comes-and-goes", "cannot-be-read"
FREE = 2**30
POLL_S = 0.5
"""Longer than replicas and gateways of the stack take to notice what the others did."""


@dataclass
class Memory:
    """Memory of a machine, of which every loaded model takes a gibibyte.

    Attributes:
        total_bytes: What there is.
        hosts: The replicas, once they run.
    """

    total_bytes: int = 16 * FREE
    hosts: Sequence[ModelHost] = ()

    def available(self) -> int:
        return self.total_bytes - FREE * max((len(host.describe()) for host in self.hosts), default=0)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    made = Memory()
    monkeypatch.setattr("services.deployments.plan_follower.available_memory", made.available)
    return made


@pytest.fixture
def stack(tmp_path: Path, memory: Memory) -> Iterator[VersionStack]:
    for name in (WARM, OTHER, BROKEN):
        write_detector(tmp_path, name, "1")
    (tmp_path / f"{BROKEN}@1.safetensors").write_bytes(b"no weights")
    models = [f"{WARM}@1", f"{MODEL}@1", f"{MODEL}@2", f"{OTHER}@1", f"{BROKEN}@1"]
    with version_stack(tmp_path, models, preload=(WARM,)) as made:
        memory.hosts = made.replicas.hosts
        yield made


def states(stack: VersionStack) -> dict[str, str]:
    listed = httpx.get(f"{stack.url}/v1/models").json()["versions"]
    return {f"{each['name']}@{each['version']}": each["state"] for each in listed}


def names(stack: VersionStack) -> list[str]:
    return [each["name"] for each in httpx.get(f"{stack.url}/v1/models").json()["models"]]


def test_first_request_loads_a_model_once_in_all_replicas(stack: VersionStack):
    assert states(stack) == {
        f"{WARM}@1": "loaded", f"{MODEL}@2": "cold", f"{OTHER}@1": "cold", f"{BROKEN}@1": "cold",
    }  # fmt: skip
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    assert names(stack) == [WARM, MODEL, OTHER, BROKEN]
    assert httpx.get(f"{stack.url}/v1/models/{OTHER}").json()["task"] == "detection"
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(stack.detect, photo(seed), MODEL) for seed in range(8)]
        while not asked[0].done():
            assert sorted(names(stack)) == sorted([WARM, MODEL, OTHER, BROKEN]), "it is listed while it is loaded, too"
        answers = [each.result() for each in asked]
    assert [(answer.status_code, answer.json()["version"]) for answer in answers] == [(200, "2")] * 8
    assert [[each["name"] for each in host.describe()] for host in stack.replicas.hosts] == [[WARM, MODEL]] * 2
    assert states(stack)[f"{MODEL}@2"] == "loaded"
    assert stack.detect(photo(1), f"{MODEL}@2").json()["version"] == "2"


def test_models_make_room_for_each_other_the_least_recently_used_first(stack: VersionStack, memory: Memory):
    memory.total_bytes = 3 * FREE + FREE // 2  # for two models and a half beside what must be available
    for shade, model in enumerate((MODEL, OTHER, MODEL)):
        assert stack.detect(photo(shade), model).status_code == 200
        time.sleep(POLL_S)
    assert stack.detect(photo(3), f"{MODEL}@1").status_code == 404, "not the version of the policy"
    assert stack.detect(photo(4), BROKEN).status_code == 503
    assert states(stack)[f"{OTHER}@1"] == "cold"
    assert states(stack)[f"{MODEL}@2"] == "loaded"
    assert stack.detect(photo(5), WARM).status_code == 200


def test_ten_loads_and_unloads_answer_every_request(stack: VersionStack, memory: Memory):
    memory.total_bytes = 2 * FREE + FREE // 2
    for turn in range(5):
        for model in (MODEL, OTHER):
            answer = stack.detect(photo(turn), model)
            assert (answer.status_code, answer.json().get("model")) == (200, model)


def test_a_model_that_cannot_be_loaded_is_refused_with_the_reason_and_the_others_answer(stack: VersionStack):
    refused = stack.detect(photo(1), BROKEN)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (503, "not_ready")
    assert "could not be loaded" in error["message"]
    assert states(stack)[f"{BROKEN}@1"] == "failed"
    assert names(stack) == [WARM, MODEL, OTHER, BROKEN]
    assert stack.detect(photo(1), WARM).status_code == 200
    assert stack.detect(photo(1), OTHER).status_code == 200


def test_too_little_memory_is_said(stack: VersionStack, memory: Memory):
    memory.total_bytes = FREE + FREE // 2
    time.sleep(2 * POLL_S)
    refused = stack.detect(photo(1), OTHER)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
    assert "512 MiB of memory are left, and 1024 must be" in refused.json()["error"]["message"]
    assert stack.detect(photo(1), WARM).status_code == 200


def test_administrators_load_and_unload_models_that_requests_load_too(stack: VersionStack):
    url = f"{stack.url}/v1/models/{OTHER}@1"
    assert httpx.post(f"{url}/load", headers=ADMIN, timeout=60).json()["state"] == "loaded"
    assert httpx.post(f"{url}/unload", headers=ADMIN, timeout=60).json()["state"] == "cold"
    assert stack.detect(photo(1), OTHER).status_code == 200
