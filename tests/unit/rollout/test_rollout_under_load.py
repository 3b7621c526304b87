"""`tapetum rollout` on a gateway with real replicas and under load: every guard is broken on purpose once."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from services.accuracy.recorded_run import RecordedRun
from services.accuracy.store import record_run
from services.answers.wire import Failure, Item, Outcome
from services.cli import app
from services.client import Client
from services.client.administration import Plan, change_plan, plan
from services.deployments.host import ModelHost
from services.rollout.canary import Canary
from services.settings import Settings
from tests.unit.version_stack import ADMIN, MODEL, Load, VersionStack, load_on, photo, version_stack

pytestmark = pytest.mark.slow

OLD, NEW = f"{MODEL}@1", f"{MODEL}@2"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersionStack]:
    folder = tmp_path_factory.mktemp("rollout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAPETUM_ACCURACY_FILE", str(folder / "accuracy.jsonl"))
        patch.setattr("services.gateway.serving.traffic_log.FLUSH_S", 0.1)
        patch.setattr("services.gateway.accuracy.overview.READ_INTERVAL_S", 0.2)
        with version_stack(folder, [OLD], replicas=1) as made:
            yield made


@pytest.fixture(autouse=True)
def old_version_answers(stack: VersionStack) -> None:
    """Every test begins with the old version pinned, and without a canary."""
    change(stack, {"policy": "1", "canary": None, "shadow": None})
    stack.admin("unload", "2")


def change(stack: VersionStack, changes: dict[str, Any]) -> Plan:
    with Client(stack.url, api_key=ADMIN["x-api-key"]) as client:
        return client.send(change_plan(MODEL, changes))


def plan_of(stack: VersionStack) -> Plan:
    with Client(stack.url, api_key=ADMIN["x-api-key"]) as client:
        return client.send(plan(MODEL))


def roll_out(stack: VersionStack, *options: str) -> Result:
    """Run the command."""
    fixed = ["--url", stack.url, "--api-key", ADMIN["x-api-key"], "--steps", "30,100", "--hold", "1", "--timeout", "60"]
    return CliRunner().invoke(app, ["rollout", NEW, *fixed, "--min-requests", "30", *options])


_numbers = itertools.count(2)


def uncached_load(stack: VersionStack) -> AbstractContextManager[Load]:
    """Requests whose parameters no other test has, so that the cache has no answers to them yet."""
    return load_on(stack.url, path=f"/v1/detect?max_detections={next(_numbers)}")


class Worse:
    """A replica whose version 2 takes longer, or fails."""

    def __init__(self, host: ModelHost, delay_s: float, fails: bool) -> None:
        self._host = host
        self._delay_s = delay_s
        self._fails = fails

    async def predict(self, items: list[Item]) -> Sequence[Outcome]:
        if items[0].version != "2":
            return await self._host.predict(items)
        await asyncio.sleep(self._delay_s)
        failure = Outcome(None, Failure(500, "internal_error", "the model failed on this image", {}), {})
        return [failure] * len(items) if self._fails else await self._host.predict(items)

    def describe(self) -> list[dict[str, Any]]:
        return self._host.describe()


@contextmanager
def replicas_that(stack: VersionStack, *, delay_s: float = 0.0, fail: bool = False) -> Iterator[None]:
    """Let images of version 2 take longer, or fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack.replicas, "hosts", [Worse(host, delay_s, fail) for host in stack.replicas.hosts])
        yield


def test_good_version_answers_all_requests_in_the_end_and_no_request_fails(stack: VersionStack):
    with uncached_load(stack) as load:
        done = roll_out(stack, "--force", "--guard", "error_ratio<0.01,p99_ratio<10")
        ended_at = time.monotonic()
        time.sleep(1)
    assert done.exit_code == 0, done.output
    assert f"{NEW} answers all requests; {OLD} stays loaded" in done.output
    assert (load.failures, load.mislabelled) == ([], [])
    assert set(load.by_version) == {"1", "2"}
    assert {version for at_s, version in load.versions if at_s > ended_at + 0.5} == {"2"}
    assert (plan_of(stack).policy, plan_of(stack).canary) == ("2", None)


def assert_rolled_back(stack: VersionStack, done: Result, load: Load) -> None:
    assert done.exit_code == 1, done.output
    assert f"{OLD} answers all requests again" in done.output
    assert (plan_of(stack).policy, plan_of(stack).canary) == ("1", None)
    assert load.last_version() == "1"


def test_failing_version_is_rolled_back(stack: VersionStack):
    with replicas_that(stack, fail=True), uncached_load(stack) as load:
        done = roll_out(stack, "--force")
        time.sleep(1)
    assert_rolled_back(stack, done, load)
    assert "rolling back: a guard broke: error_ratio" in done.output


def test_slower_version_is_rolled_back(stack: VersionStack):
    with replicas_that(stack, delay_s=1.5), uncached_load(stack) as load:
        done = roll_out(stack, "--force", "--guard", "p99_ratio<1.5")
        time.sleep(4)  # until requests that the slow version has are answered
    assert_rolled_back(stack, done, load)
    assert "rolling back: a guard broke: p99_ratio" in done.output
    assert load.failures == []


def test_less_accurate_version_is_rolled_back(stack: VersionStack):
    stopped = threading.Event()

    def tell_the_truth() -> None:
        """Feedback that the objects of version 1 are there, and nothing else."""
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            number = 1000
            while not stopped.is_set():
                number += 1
                answer = client.post("/v1/detect", content=photo(number), headers={"content-type": "image/png"}).json()
                rows = answer["predictions"] if answer["version"] == "1" else []
                names = [row["class_name"] for row in rows]
                objects = [{"box": row["box"], "class": name} for row, name in zip(rows, names, strict=True)]
                target = {"objects": objects}
                told = client.post("/v1/feedback", json={"request_id": answer["request_id"], "target": target})
                assert told.status_code == 200, told.text

    teller = threading.Thread(target=tell_the_truth)
    teller.start()
    try:
        with uncached_load(stack) as load:
            done = roll_out(stack, "--force", "--guard", "live_accuracy_drop<0.02", "--min-feedback", "10")
            time.sleep(1)
    finally:
        stopped.set()
        teller.join()
    assert_rolled_back(stack, done, load)
    assert (
        "rolling back: a guard broke: live_accuracy_drop 1 (below 0.02): precision 1.0000 of 1, 0.0000 of 2"
        in done.output
    )


def test_rollout_without_enough_requests_says_so_and_fails(stack: VersionStack):
    done = roll_out(stack, "--force", "--timeout", "3")
    assert done.exit_code == 1
    assert "rolling back: not enough data within 3 s: 0 of 30 requests" in done.output


def test_version_without_an_evaluation_is_refused_and_unloaded(stack: VersionStack):
    done = roll_out(stack)
    assert done.exit_code == 1
    assert f"the gate is closed for {NEW}" in done.output
    assert stack.versions().get("2") in (None, "unloading", "unloaded")
    assert (plan_of(stack).policy, plan_of(stack).canary) == ("1", None)


def test_version_whose_evaluation_reaches_its_predecessors_is_let_through(stack: VersionStack):
    stack.admin("load", "2")
    entries = {one["version"]: one for one in httpx.get(f"{stack.url}/v1/models").json()["models"]}
    settings = Settings()
    for version, value in (("1", 0.80), ("2", 0.79)):
        figures = {"map": (value, value - 0.02, value + 0.02)}
        record_run(
            RecordedRun(
                MODEL,
                version,
                entries[version]["weights_digest"],
                "detection",
                "street",
                "digest",
                "adapter",
                100,
                1.0,
                figures,
                {},
            ),
            settings,
        )
    time.sleep(2)  # until the gateway has read them
    with uncached_load(stack):
        done = roll_out(stack, "--guard", "error_ratio<0.01")
    assert done.exit_code == 0, done.output
    assert "gate: map on street is 0.7900, at or above 0.7800" in done.output


def test_version_that_is_not_in_the_catalog_is_refused(stack: VersionStack):
    fixed = ["--url", stack.url, "--api-key", ADMIN["x-api-key"]]
    done = CliRunner().invoke(app, ["rollout", f"{MODEL}@9", *fixed])
    assert done.exit_code == 1
    assert "the catalog has no" in done.output
    assert plan_of(stack).policy == "1"


def test_rollout_without_an_admin_key_is_refused(stack: VersionStack):
    done = CliRunner().invoke(app, ["rollout", NEW, "--url", stack.url])
    assert done.exit_code == 1
    assert "administrator" in done.output


def test_canary_is_sticky_under_load(stack: VersionStack):
    stack.admin("load", "2")
    change(stack, {"policy": "1", "canary": {"version": "2", "weight": 30}})
    time.sleep(0.5)
    canary, wrong = Canary(version="2", weight=30), []

    def ask(first: int) -> None:
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            for number in range(first, first + 60):
                headers = {"content-type": "image/png", "x-request-id": f"user-{number % 40}"}
                version = client.post("/v1/detect", content=photo(number), headers=headers).json()["version"]
                if (version == "2") is not canary.takes(MODEL, headers["x-request-id"], time.time()):
                    wrong.append((number, version))

    callers = [threading.Thread(target=ask, args=(first,)) for first in (0, 1000, 2000)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_canary_ends_by_itself_where_it_is_not_renewed(stack: VersionStack):
    stack.admin("load", "2")
    told = change(stack, {"policy": "1", "canary": {"version": "2", "weight": 100, "ttl_s": 1.5}})
    assert told.canary is not None and told.canary["until_s"] == pytest.approx(time.time() + 1.5, abs=1)
    assert stack.detect(photo(1)).json()["version"] == "2"
    time.sleep(1.7)
    assert stack.detect(photo(2)).json()["version"] == "1"
