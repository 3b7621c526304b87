"""A version is swapped for another on a running stack under load: no request fails, and each answer is labelled."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from conftest import jpeg_of
from running import RunningStack, running_stack, write_config
from skimage import data

from models.catalog.cards import write_card
from models.catalog.lookup import find
from models.sources.weights_files import fetch, read_state_dict

pytestmark = pytest.mark.integration

MODEL = "yolo-person"
ADMIN = {"x-api-key": "an-admin"}
CLASS_OF = {"1": "person", "2": "somebody"}
"""The only class of each version, which no answer of the other one has."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Two replicas with version 1 of a detector; in the catalog are version 2, which has the same weights, and 3, whose
    weights are damaged."""
    folder = tmp_path_factory.mktemp("versions")
    entry = find(f"{MODEL}@1")
    state, _ = read_state_dict(entry, fetch(entry))
    write_card(folder, replace(entry, version="2", class_names=(CLASS_OF["2"],)), state, versioned=True)
    damaged = write_card(folder, replace(entry, version="3"), state, versioned=True).with_suffix(".safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    config = write_config(folder, models=("noop",), detectors=(f"{MODEL}@1",), num_replicas=2, num_cpus=0.25)
    with running_stack(config, TAPETUM_CATALOG=str(folder), TAPETUM_ADMIN_KEYS="an-admin") as stack:
        yield stack


@pytest.fixture
def versions(running: RunningStack) -> Iterator[RunningStack]:
    """The same stack, which has version 1 alone again after the test."""
    yield running
    httpx.put(f"{running.url}/v1/models/{MODEL}/plan", json={"policy": "newest"}, headers=ADMIN)
    change(running, "load", "1")
    for version in ("2", "3"):
        httpx.post(f"{running.url}/v1/models/{MODEL}@{version}/unload", headers=ADMIN, timeout=120)


@dataclass
class Load:
    """What clients got: problems, and the versions that answered, in their order."""

    problems: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def see(self, response: httpx.Response) -> None:
        body = response.json()
        if response.status_code != 200:
            self.problems.append(response.text)
            return
        found = {row["class_name"] for row in body["predictions"]}
        if found != {CLASS_OF[body["version"]]}:
            self.problems.append(f"{found} of version {body['version']}")
        self.answers.append(body["version"])


@contextmanager
def load_on(stack: RunningStack, clients: int = 3) -> Iterator[Load]:
    """Requests without a pause, for a person in several sizes; the cache may answer every second one."""
    load, stopped = Load(), threading.Event()
    photos = [jpeg_of(data.astronaut(), (side, side)) for side in (320, 400, 512)]

    def ask(number: int) -> None:
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            for turn in range(number, 10**9):
                if stopped.is_set():
                    return
                headers = {"content-type": "image/jpeg", **({"cache-control": "no-cache"} if turn % 2 else {})}
                try:
                    load.see(client.post("/v1/detect", content=photos[turn % len(photos)], headers=headers))
                except httpx.HTTPError as error:
                    load.problems.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def until(condition: Callable[[], bool], timeout_s: float = 180.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


def change(stack: RunningStack, action: str, version: str) -> str:
    headers = {**ADMIN, "x-request-timeout": "110"}
    answer = httpx.post(f"{stack.url}/v1/models/{MODEL}@{version}/{action}", headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()["state"]


def test_versions_are_swapped_and_swapped_back_without_a_failed_request(versions: RunningStack):
    with load_on(versions) as load:
        until(lambda: len(load.answers) > 20)
        for new, old in (("2", "1"), ("1", "2")):
            assert change(versions, "load", new) == "loaded"
            assert change(versions, "unload", old) == "unloaded"
            begun = len(load.answers)
            until(lambda begun=begun: len(load.answers) > begun + 20)
            assert set(load.answers[begun:]) == {new}
    assert load.problems == []
    assert {"1", "2"} == set(load.answers)
    assert versions.metric("tapetum_model_ready", model=MODEL, version="1") == 2
    assert versions.metric("tapetum_model_ready", model=MODEL, version="2") == 0


def test_rollout_steps_a_version_up_to_all_requests_under_load(versions: RunningStack):
    command = [str(Path(sys.executable).parent / "tapetum"), "rollout", f"{MODEL}@2", "--url", versions.url, "--force"]
    step = ["--steps", "50,100", "--guard", "error_ratio<0.01", "--hold", "2", "--min-requests", "10"]
    with load_on(versions) as load:
        until(lambda: len(load.answers) > 20)
        rollout = subprocess.run(
            [*command, *step, "--timeout", "60", "--api-key", "an-admin"],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert rollout.returncode == 0, rollout.stdout + rollout.stderr
        begun = len(load.answers)
        until(lambda: len(load.answers) > begun + 10)
    assert load.problems == []
    assert {"1", "2"} == set(load.answers[:begun])
    assert {"2"} == set(load.answers[begun:])


def test_replica_that_is_started_again_has_the_versions_of_the_plan(versions: RunningStack):
    change(versions, "load", "2")
    change(versions, "unload", "1")
    versions.replica("Detector").send_signal(signal.SIGKILL)
    with load_on(versions, clients=2) as load:
        until(lambda: versions.metric("tapetum_model_ready", model=MODEL, version="2") == 2)
    assert (load.problems, set(load.answers)) == ([], {"2"})


def test_plan_outlives_the_embedded_cache(versions: RunningStack):
    policy = httpx.put(f"{versions.url}/v1/models/{MODEL}/plan", json={"policy": "1"}, headers=ADMIN)
    assert policy.json()["policy"] == "1"
    (cache,) = [process for process in versions.processes() if "cache.sock" in " ".join(process.cmdline())]
    cache.kill()

    def restored() -> bool:
        answer = httpx.get(f"{versions.url}/v1/models/{MODEL}/plan", headers=ADMIN)
        return answer.status_code == 200 and answer.json()["policy"] == "1" and cache.is_running() is False

    until(restored)


def test_version_that_cannot_be_loaded_leaves_the_old_one(versions: RunningStack):
    with load_on(versions, clients=1) as load:
        refused = httpx.post(f"{versions.url}/v1/models/{MODEL}@3/load", headers=ADMIN, timeout=120)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "load_failed")
    assert (load.problems, set(load.answers)) == ([], {"1"})
    listed = httpx.get(f"{versions.url}/v1/models").json()["versions"]
    states = {each["version"]: (each["state"], each["reason"]) for each in listed if each["name"] == MODEL}
    assert states == {"1": ("loaded", None), "3": ("failed", refused.json()["error"]["details"]["reason"])}
