"""Loads and unloads versions in a replica as the serving plan says, while the replica predicts.

    plan store ── read, once a second ──► PlanFollower ──► loader thread: load, warm up ──► HostedVersions
               ◄── report ───────────────

A version takes images once it is warm. One whose load or warm-up fails is reported with the reason, and the others
stay. A version that is no longer planned takes images for some seconds more, until every gateway has read the new plan;
then the images that use it are awaited, and its memory is freed.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

import structlog
import torch

from models.catalog.version_names import join_name
from models.errors import ModelsError
from models.execution.memory import release_activations
from services.deployments.hosted_model import HostedModel
from services.deployments.hosted_versions import HostedVersions
from services.machine.memory import available_memory, release_memory
from services.rollout.load_failure import reason_of
from services.rollout.plan_store import PlanStore, PlanStoreFailed, key_of
from services.rollout.replica_report import ReplicaReport, ReportedVersion, State
from services.rollout.serving_plan import PlannedVersion, ServingPlan

log = structlog.get_logger()

POLL_S: Final = 1.0
"""Seconds between two reads of the plan, and between two reports."""

GRACE_S: Final = 3.0
"""Seconds for which a version that is no longer planned takes images: every gateway reads the plan meanwhile."""

IDLE_S: Final = 10.0
"""Seconds without an image after which a network gives its activations back."""

Load = Callable[[str], HostedModel]
"""Loads and warms up a version by its `NAME@VERSION`."""


class PlanFollower:
    """Keeps the versions of one replica as the plan says.

    Args:
        store: Plans are read from it, and reports written to it.
        deployment: Name of the deployment.
        plans: Those of the configuration, of the models of the deployment.
        hosted: The loaded versions.
        load: Loads a version, on a thread of its own.
        start_thread: Called on that thread first.
    """

    def __init__(
        self,
        store: PlanStore,
        deployment: str,
        plans: Iterable[ServingPlan],
        hosted: HostedVersions,
        load: Load,
        start_thread: Callable[[], object],
    ) -> None:
        self._store = store
        self._deployment = deployment
        self._plans = {key_of(plan): plan for plan in plans}
        self._on_demand = {plan.model for plan in self._plans.values() if not plan.versions}
        self._hosted = hosted
        self._load = load
        self._name = secrets.token_hex(8)
        self._loads: dict[tuple[str, str], Future[HostedModel]] = {}
        self._failures: dict[tuple[str, str], tuple[int, str]] = {}
        self._unwanted_since: dict[str, float] = {}
        self._is_failing = False
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader", initializer=start_thread)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="plan", daemon=True)

    def planned(self) -> dict[tuple[str, str], PlannedVersion]:
        """The versions that this replica is to have, by model and version."""
        return {
            (plan.model, version): planned
            for plan in self._plans.values()
            for version, planned in plan.in_deployment(self._deployment).items()
        }

    def read(self) -> None:
        """Read the plans; where the store fails, or has lost them, the last ones stay.

        Raises:
            PlanStoreFailed: the store is down or slow.
        """
        for plan in self._store.read().plans:
            known = self._plans.get(key_of(plan))
            if known is not None and plan.revision >= known.revision:
                self._plans[key_of(plan)] = plan

    def load_first(self) -> None:
        """Read the plans and load their versions, before the replica takes images.

        Raises:
            Exception: a version of the configuration cannot be loaded; or of a plan that was changed, no version of a
                model can be, which is not loaded on demand.
        """
        with self._tolerant():
            self.read()
        for plan in self._plans.values():
            versions = plan.in_deployment(self._deployment).values()
            errors = [error for version in versions if (error := self._try_first(plan.model, version)) is not None]
            is_served = any(hosted.model == plan.model for hosted in self._hosted.serving())
            if errors and not (plan.revision and is_served) and plan.model not in self._on_demand:
                raise errors[0]

    def start(self) -> None:
        """Follow the plan from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop following, and withdraw the report."""
        self._stopped.set()
        self._thread.join()
        self._loader.shutdown(wait=False, cancel_futures=True)
        with suppress(PlanStoreFailed):
            self._store.withdraw(self._name)

    def step(self) -> None:
        """Report, read the plan, and begin what it asks for; and free what idle networks hold."""
        self._take_over_loads()
        with self._tolerant():
            self._report()
            self.read()
        self._begin_loads()
        self._retire_unwanted()
        self._unload_idle()
        release_activations(IDLE_S)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                self.step()
            except Exception as error:
                log.error("the serving plan could not be followed", deployment=self._deployment, exc_info=error)
            self._stopped.wait(POLL_S)

    @contextmanager
    def _tolerant(self) -> Generator[None]:
        """Go on where the store fails, with one line in the log until it works again."""
        try:
            yield
        except PlanStoreFailed as error:
            if not self._is_failing:
                log.warning("the store of serving plans fails", deployment=self._deployment, reason=str(error))
            self._is_failing = True
        else:
            self._is_failing = False

    def _try_first(self, model: str, planned: PlannedVersion) -> Exception | None:
        try:
            self._hosted.add(self._load(join_name(model, planned.version)))
        except Exception as error:
            self._fail(model, planned, error)
            return error
        return None

    def _take_over_loads(self) -> None:
        for key in [key for key, loading in self._loads.items() if loading.done()]:
            try:
                hosted = self._loads.pop(key).result()
            except Exception as error:
                if planned := self.planned().get(key):
                    self._fail(key[0], planned, error)
            else:
                self._hosted.add(hosted)
        self._hosted.loading = frozenset(join_name(*key) for key in self._loads)

    def _begin_loads(self) -> None:
        there = {hosted.name for hosted in self._hosted.serving()}
        retired = {hosted.name for hosted in self._hosted.retired()}
        for key, planned in self.planned().items():
            name = join_name(*key)
            failed_in, _ = self._failures.get(key, (-1, ""))
            if name in retired:
                self._hosted.revive(name)
            elif name not in there and key not in self._loads and failed_in < planned.requested_in:
                self._loads[key] = self._loader.submit(self._load, name)
        self._hosted.loading = frozenset(join_name(*key) for key in self._loads)

    def _retire_unwanted(self) -> None:
        planned, now_s = {join_name(*key) for key in self.planned()}, time.monotonic()
        unwanted = {hosted.name for hosted in self._hosted.serving()} - planned
        self._unwanted_since = {name: self._unwanted_since.get(name, now_s) for name in unwanted}
        for name, since_s in self._unwanted_since.items():
            if now_s - since_s >= GRACE_S:
                self._hosted.retire(name)

    def _unload_idle(self) -> None:
        names: list[str] = []
        for hosted in self._hosted.pop_idle():
            hosted.close()
            names.append(hosted.name)
        if names:
            self._loader.submit(free_memory)
            log.info("models unloaded", deployment=self._deployment, models=names)

    def _fail(self, model: str, planned: PlannedVersion, error: Exception) -> None:
        reason = reason_of(error)
        self._failures[model, planned.version] = (planned.requested_in, reason)
        unexpected = None if isinstance(error, ModelsError) else error
        log.error("model not loaded", model=model, version=planned.version, reason=reason, exc_info=unexpected)

    def _report(self) -> None:
        report = ReplicaReport(
            deployment=self._deployment,
            replica=self._name,
            at_s=time.time(),
            versions=tuple(self._states()),
            available_bytes=available_memory(),
        )
        self._store.report(report)

    def _states(self) -> list[ReportedVersion]:
        there = {hosted.name: (hosted.model, hosted.version) for hosted in self._hosted.serving()}
        planned = self.planned()
        states: list[ReportedVersion] = []
        for key, wanted in planned.items():
            failed_in, reason = self._failures.get(key, (-1, ""))
            state: State = "loading"
            used_at_s = 0.0
            if (name := join_name(*key)) in there:
                state, reason, used_at_s = "loaded", "", self._hosted.used_at_s(name)
            elif failed_in >= wanted.requested_in:
                state = "failed"
            reported = _state(key, state, wanted.requested_in, reason if state == "failed" else "")
            states.append(reported.model_copy(update={"used_at_s": used_at_s}))
        retired = {(hosted.model, hosted.version) for hosted in self._hosted.retired()}
        others = {*there.values(), *retired} - planned.keys()
        return [*states, *(_state(key, "unloading", 0, "") for key in others)]


def _state(key: tuple[str, str], state: State, requested_in: int, reason: str) -> ReportedVersion:
    model, version = key
    return ReportedVersion(model=model, version=version, state=state, reason=reason, requested_in=requested_in)


def free_memory() -> None:
    """Return the memory of unloaded networks to the device and the operating system."""
    release_memory()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
