"""A replica follows the serving plan, step by step, with models that need no time to load."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from services.deployments.hosted_versions import HostedVersions
from services.deployments.plan_follower import PlanFollower
from services.rollout.plan_store import MemoryPlanStore, PlanStoreFailed, Stored
from services.rollout.serving_plan import ServingPlan
from tests.unit.deployments.test_hosted_versions import loaded

PLAN = ServingPlan.first("mugs", {"1": "Mugs"})


class Store(MemoryPlanStore):
    """A store that may be down."""

    is_down = False

    def read(self) -> Stored:
        if self.is_down:
            raise PlanStoreFailed("TimeoutError")
        return super().read()


class Replica:
    """A follower with a store, and the loads that it has begun; versions in `broken` cannot be loaded."""

    def __init__(self) -> None:
        self.store, self.hosted = Store(), HostedVersions()
        self.loads: list[str] = []
        self.broken: set[str] = set()
        self.follower = PlanFollower(self.store, "Mugs", [PLAN], self.hosted, self._load, lambda: None)

    def _load(self, name: str):
        self.loads.append(name)
        if name in self.broken:
            raise OSError(f"no weights in /srv/models/{name}")
        return loaded(name)

    def change(self, edit: Callable[[ServingPlan], ServingPlan]) -> None:
        self.store.change(PLAN, edit)
        self.settle()

    def settle(self) -> None:
        for _ in range(3):
            self.follower.step()
            time.sleep(0.05)
        self.follower.step()

    @property
    def serving(self) -> list[str]:
        return [model.name for model in self.hosted.serving()]

    @property
    def states(self) -> dict[str, tuple[str, str]]:
        (report,) = self.store.read().reports
        return {each.version: (each.state, each.reason) for each in report.versions}


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Replica:
    monkeypatch.setattr("services.deployments.plan_follower.GRACE_S", 0.0)
    made = Replica()
    made.follower.load_first()
    return made


def test_planned_version_is_loaded_beside_the_others_and_reported(replica: Replica):
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    assert replica.serving == ["mugs@1", "mugs@2"]
    assert replica.states == {"1": ("loaded", ""), "2": ("loaded", "")}


def test_failed_load_is_reported_and_tried_again_only_when_it_is_requested_again(replica: Replica):
    replica.broken = {"mugs@2"}
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    replica.change(lambda plan: plan.model_copy(update={"policy": "1"}))
    assert replica.loads == ["mugs@1", "mugs@2"]
    assert replica.states == {"1": ("loaded", ""), "2": ("failed", "OSError: no weights in mugs@2")}
    replica.broken = set()
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    assert replica.serving == ["mugs@1", "mugs@2"]


def test_version_that_failed_is_tried_again_after_it_was_planned_no_more(replica: Replica):
    replica.broken = {"mugs@2"}
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    replica.change(lambda plan: plan.without_version("2"))
    assert replica.states == {"1": ("loaded", "")}
    replica.broken = set()
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    assert replica.serving == ["mugs@1", "mugs@2"]


def test_version_that_is_planned_no_more_is_unloaded(replica: Replica):
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    replica.change(lambda plan: plan.without_version("1"))
    assert replica.serving == ["mugs@2"]
    assert replica.states == {"2": ("loaded", "")}


def test_version_that_is_planned_again_before_it_is_unloaded_stays(replica: Replica, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.deployments.plan_follower.GRACE_S", 60.0)
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    replica.change(lambda plan: plan.without_version("1"))
    assert (replica.serving, replica.states["1"][0]) == (["mugs@1", "mugs@2"], "unloading")
    replica.change(lambda plan: plan.with_version("1", "Mugs"))
    assert (replica.loads, replica.states["1"][0]) == (["mugs@1", "mugs@2"], "loaded")


def test_version_of_another_deployment_is_not_loaded(replica: Replica):
    replica.change(lambda plan: plan.with_version("2", "Canary"))
    assert replica.serving == ["mugs@1"]


def test_plan_of_another_configuration_is_not_followed(replica: Replica):
    other = ServingPlan.first("mugs", {"1": "Mugs", "2": "Canary"})
    replica.store.change(other, lambda plan: plan.with_version("3", "Mugs"))
    replica.settle()
    assert replica.serving == ["mugs@1"]


def test_lost_plan_and_failing_store_change_nothing(replica: Replica):
    replica.change(lambda plan: plan.with_version("2", "Mugs"))
    replica.store._plans.clear()
    replica.settle()
    replica.store.is_down = True
    with capture_logs() as logged:
        replica.settle()
    assert replica.serving == ["mugs@1", "mugs@2"]
    assert [line["event"] for line in logged] == ["the store of serving plans fails"], "once, and not every second"


def test_replica_that_starts_reads_the_plan_first_and_needs_one_version_of_it():
    replica = Replica()
    replica.broken = {"mugs@2"}
    replica.store.change(PLAN, lambda plan: plan.with_version("2", "Mugs"))
    replica.follower.load_first()
    assert (replica.serving, replica.loads) == (["mugs@1"], ["mugs@1", "mugs@2"])
    alone = Replica()
    alone.broken = {"mugs@1"}
    with pytest.raises(OSError, match="no weights"):
        alone.follower.load_first()


def test_report_is_withdrawn_as_the_replica_ends(replica: Replica):
    replica.follower.start()
    while not replica.store.read().reports:
        time.sleep(0.01)
    replica.follower.close()
    assert replica.store.read().reports == ()
