"""Serving plans and replica reports, in memory and on a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from services.local.embedded_cache import EmbeddedCache
from services.rollout.plan_store import FORGOTTEN_S, KEPT_S, MemoryPlanStore, PlanStore, PlanStoreFailed, RedisPlanStore
from services.rollout.replica_report import LIVE_S, ReplicaReport, ReportedVersion, live_reports, state_of
from services.rollout.serving_plan import PlannedVersion, ServingPlan

PLAN = ServingPlan(
    model="mugs", configured={"1": "Mugs"}, versions=(PlannedVersion(version="1", deployment="Mugs"),), revision=0
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedCache(tmp_path_factory.mktemp("s"), 2**26)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, url: str) -> PlanStore:
    if request.param == "memory":
        return MemoryPlanStore()
    Redis.from_url(url).flushall()
    return RedisPlanStore(url, "a")


def report(replica: str, *versions: ReportedVersion, deployment: str = "Mugs", age_s: float = 0.0) -> ReplicaReport:
    return ReplicaReport(deployment=deployment, replica=replica, at_s=time.time() - age_s, versions=versions)


def reported(version: str, state: str, requests: int = 0, reason: str = "") -> ReportedVersion:
    document = {"model": "mugs", "version": version, "state": state, "requests": requests, "reason": reason}
    return ReportedVersion.model_validate(document)


def test_plan_that_was_never_changed_is_that_of_the_configuration(store: PlanStore):
    assert store.read() == ((), ())
    changed = store.change(PLAN, lambda plan: plan.with_version("2", "Mugs"))
    assert (changed.revision, [each.version for each in changed.versions]) == (1, ["1", "2"])
    assert store.read().plans == (changed,)


def test_changes_at_the_same_time_are_all_kept(store: PlanStore):
    def add(version: int) -> None:
        store.change(PLAN, lambda plan: plan.with_version(str(version), "Mugs"))

    threads = [threading.Thread(target=add, args=(version,)) for version in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (plan,) = store.read().plans
    assert plan.revision == 8
    assert {each.version for each in plan.versions} == {str(version) for version in range(1, 10)}


def test_edit_that_raises_changes_nothing(store: PlanStore):
    def refuse(plan: ServingPlan) -> ServingPlan:
        raise KeyError(plan.model)

    with pytest.raises(KeyError):
        store.change(PLAN, refuse)
    assert store.read().plans == ()


def test_plan_of_another_configuration_is_another_plan(store: PlanStore):
    other = PLAN.model_copy(update={"configured": {"3": "Mugs"}})
    store.change(PLAN, lambda plan: plan.with_policy("1"))
    store.change(other, lambda plan: plan.with_policy("3"))
    assert sorted(plan.policy for plan in store.read().plans) == ["1", "3"]


def test_lost_plan_is_written_again_and_a_newer_one_stays(store: PlanStore):
    changed = PLAN.with_policy("1").model_copy(update={"revision": 4})
    for plan in (PLAN, changed, PLAN):
        store.restore(plan)
    assert store.read().plans == (changed,)


def test_reports_are_replaced_and_withdrawn(store: PlanStore):
    store.report(report("a", reported("1", "loading")))
    store.report(report("a", reported("1", "loaded")))
    store.report(report("b", reported("1", "loaded")))
    assert {each.replica: each.versions[0].state for each in store.read().reports} == {"a": "loaded", "b": "loaded"}
    store.withdraw("a")
    assert [each.replica for each in store.read().reports] == ["b"]


def test_stacks_that_share_a_server_have_plans_of_their_own(url: str):
    Redis.from_url(url).flushall()
    one, other = RedisPlanStore(url, "one"), RedisPlanStore(url, "other")
    one.change(PLAN, lambda plan: plan.with_policy("1"))
    one.report(report("a"))
    assert other.read() == ((), ())


def test_keys_of_a_stack_that_has_ended_expire(url: str):
    redis = Redis.from_url(url)
    redis.flushall()
    store = RedisPlanStore(url, "a")
    store.change(PLAN, lambda plan: plan.with_policy("1"))
    store.report(report("a"))
    assert all(0 < redis.ttl(key) <= KEPT_S for key in ("tapetum:plans:a", "tapetum:replicas:a"))


def test_malformed_values_are_skipped_and_reports_of_long_ago_removed(url: str):
    redis = Redis.from_url(url)
    redis.flushall()
    store = RedisPlanStore(url, "a")
    redis.hset("tapetum:plans:a", mapping={"x": b"{", "y": b"\xff", "z": b'{"model": 3}'})
    store.report(report("old", age_s=FORGOTTEN_S + 1))
    store.read()
    assert store.read() == ((), ())
    assert store.change(PLAN, lambda plan: plan.with_policy("1")).policy == "1"


def test_server_that_is_down_is_an_error_of_the_store(tmp_path: Path):
    store = RedisPlanStore(f"unix://{tmp_path}/none.sock", "a")
    for operation in (store.read, lambda: store.change(PLAN, lambda plan: plan), lambda: store.withdraw("a")):
        with pytest.raises(PlanStoreFailed):
            operation()


def test_version_is_loaded_once_all_live_replicas_of_its_deployment_have_it():
    plan = PLAN.with_version("2", "Mugs")
    one, two = report("a", reported("2", "loaded", 1)), report("b", reported("1", "loaded"))
    stranger = report("c", deployment="Cups")
    assert state_of(plan, "2", []) is None
    for reports, state in (([one], "loaded"), ([one, two], "loading"), ([one, stranger], "loaded")):
        found = state_of(plan, "2", reports)
        assert found is not None and found.state == state


def test_replica_that_reports_no_more_is_not_waited_for():
    ended = report("b", reported("1", "loaded"), age_s=LIVE_S + 1)
    live = report("a", reported("1", "loaded"))
    assert live_reports([live, ended]) == (live,)


def test_failure_counts_until_the_load_is_requested_again():
    plan = PLAN.with_version("2", "Mugs")
    failed = report("a", reported("2", "failed", 1, "no weights"))
    found = state_of(plan, "2", [report("b", reported("2", "loaded", 1)), failed])
    assert found is not None and (found.state, found.reason) == ("failed", "no weights")
    again = state_of(plan.with_version("2", "Mugs"), "2", [failed])
    assert again is not None and again.state == "loading"


def test_version_that_is_planned_no_more_is_unloading_until_no_replica_has_it():
    found = state_of(PLAN, "2", [report("a", reported("2", "loaded"))])
    assert found is not None and found.state == "unloading"
    assert state_of(PLAN, "2", [report("a", reported("2", "failed"))]) is None
    assert state_of(PLAN, "2", [report("a", reported("1", "loaded"))]) is None


def test_policy_chooses_the_newest_or_the_pinned_version():
    assert PLAN.choose({"9": 0, "10": 0}) == "10"
    assert PLAN.with_policy("9").choose({"9": 0, "10": 0}) == "9"
    assert PLAN.with_policy("8").choose({"9": 0, "10": 0}) is None
    assert PLAN.choose({}) is None
