"""The model registry of a gateway: configured models, their deployments, and their readiness."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from models.catalog.version_names import SEPARATOR, join_name, version_key
from services.accuracy.store import ModelKey
from services.answers.wire import Outcome
from services.errors import BackendFailed, InvalidParameters, ModelNotFound, NotReady
from services.gateway.serving.backends import Backend, LocalBackend
from services.gateway.serving.coalescer import Coalescer
from services.gateway.serving.model_calls import ModelCalls
from services.gateway.serving.plan_watch import PlanWatch
from services.gateway.serving.queue_wait import QueueWait
from services.gateway.serving.served_model import ServedModel
from services.gateway.serving.versions import Versions
from services.model_deployment import ModelDeployment
from services.replica_scale import GatewayScale
from services.rollout.plan_store import PlanStore
from services.telemetry import MODEL_CONFIGURED
from services.topology import Topology

log = structlog.get_logger()

PROBE_TIMEOUT_S = 2.0
PROBE_INTERVAL_S = 5.0
READ_INTERVAL_S = 1.0
"""Seconds between two reads of the serving plans."""
STARTING_INTERVAL_S = 0.2
MAX_CALL_BYTES = 8 * 2**20
"""The most image bytes of a call; a larger image is sent alone."""


RESOLVED_S = 0.5
"""Seconds for which the versions of a model are not computed again, unless something changes."""


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The versions of a model, and the one of the policy, after a number of reads of the plans."""

    versions: tuple[ServedModel, ...]
    current: ServedModel | None
    reads: int
    until_s: float


class Registry:
    """The configured models, their versions and their state.

    Args:
        topology: The configuration.
        backends: The backend of each deployment, by its name.
        max_wait_s: Longest expected wait of an image for its model.
        store: Of serving plans; None: versions stay those of the configuration.

    Attributes:
        plans: The serving plans of all models.
        on_demand: Names of the models that are loaded by their first request.
    """

    def __init__(
        self,
        topology: Topology,
        backends: Mapping[str, Backend],
        max_wait_s: float = float("inf"),
        store: PlanStore | None = None,
    ) -> None:
        self.plans = PlanWatch(topology, store)
        self._backends = dict(backends)
        self._topology = topology
        self._max_wait_s = max_wait_s
        self._configs = {config.name: config for config in topology.deployments}
        self._tasks = {spec.model: config.task for config in topology.deployments for spec in config.models}
        self.on_demand = frozenset(name for name in self._tasks if topology.is_on_demand(name))
        for name, task in self._tasks.items():
            MODEL_CONFIGURED.labels(task, name).set(1)
        self._calls: dict[tuple[str, str, str], ModelCalls] = {}
        self._versions = {name: Versions() for name in self._tasks}
        self._resolved: dict[str, _Resolved] = {}
        self._last: dict[str, ServedModel] = {}
        self._alive: dict[str, bool] = dict.fromkeys(self._backends, False)
        self._ready: dict[str, frozenset[str]] = dict.fromkeys(self._backends, frozenset())
        self._probed_at = float("-inf")
        self._probe_lock = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all configured models."""
        return tuple(self._tasks)

    def served(self) -> tuple[ServedModel, ...]:
        """All versions that are served, by model in the order of the configuration, that of the policy first."""
        warm = [name for name in self._tasks if not self.is_cold(name)]
        chosen = [current for name in warm if (current := self.current(name)) is not None]
        return tuple(
            model
            for current in chosen
            for model in (current, *(other for other in self.versions(current.name) if other is not current))
        )

    def entries(self) -> tuple[dict[str, Any], ...]:
        """Catalog entries of all versions that are served, in the same order."""
        return tuple(model.entry for model in self.served())

    def versions(self, name: str) -> tuple[ServedModel, ...]:
        """The versions of a configured model that all its replicas have warm, the newest first."""
        return self._resolve(name).versions

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks of all configured models."""
        return frozenset(self._tasks.values())

    def task(self, name: str) -> str:
        """The task of a configured model."""
        return self._tasks[name]

    def current(self, name: str) -> ServedModel | None:
        """The version of a configured model that answers requests without a version.

        Returns:
            That of the policy; the last one, where that is not loaded; None where none has been warm yet.
        """
        return self._resolve(name).current

    def find(self, task: str, name: str | None) -> ServedModel:
        """Find the version that answers a request.

        Args:
            task: The task of the endpoint.
            name: Model of the request, or `NAME@VERSION`; None: the first configured model of the task.

        Raises:
            ModelNotFound: no such model is configured, or no such version is loaded; the message lists those that are.
            InvalidParameters: the model is for another task.
            NotReady: it has not been warm yet.
        """
        model = self.get(name or self.model_of(task, None))
        if model.task != task:
            raise InvalidParameters(f"{name} is a model for {model.task}, not for {task}", {"task": model.task})
        return model

    def model_of(self, task: str, name: str | None) -> str:
        """Name of the configured model that a request is for, without a version.

        Args:
            task: The task of the endpoint.
            name: Model of the request, or `NAME@VERSION`; None: the first configured model of the task.

        Raises:
            ModelNotFound: no such model is configured.
        """
        if name is not None:
            return self.split(name)[0]
        first = next((known for known, of_task in self._tasks.items() if of_task == task), None)
        if first is None:
            raise ModelNotFound(f"no model for {task} is served", {"known": list(self._tasks)})
        return first

    def is_cold(self, model: str) -> bool:
        """Whether a configured model is to be loaded by its next request."""
        return model in self.on_demand and not self.plans.plan(model).versions

    def first_version(self, model: str) -> str:
        """The version of the configuration that a model is loaded in on demand: that of the policy, or the newest."""
        plan = self.plans.plan(model)
        return plan.choose(plan.configured) or max(plan.configured, key=version_key)

    def get(self, name: str) -> ServedModel:
        """Find a version of a model of any task.

        Args:
            name: `NAME@VERSION`, or `NAME` for the version of the policy.

        Raises:
            ModelNotFound: no such model is configured, or no such version is loaded; the message lists those that are.
            NotReady: it has not been warm yet.
        """
        model, version = self.split(name)
        if version is not None:
            return self._find_version(model, version)
        current = self.current(model)
        if current is None:
            raise NotReady(f"{model} is not ready yet")
        return current

    def canary_of(self, model: ServedModel, request_id: str) -> ServedModel:
        """The version that answers a request without a version: the canary of the model, or the given one.

        Args:
            model: The version of the policy.
            request_id: Of the request.
        """
        canary = self.plans.plan(model.name).canary
        if canary is None or not canary.takes(model.name, request_id, time.time()):
            return model
        return self._loaded(model.name, canary.version) or model

    def shadow_of(self, model: ServedModel, request_id: str) -> ServedModel | None:
        """The shadow of a model that also answers a request; None where it has none, or the request is no sample.

        Args:
            model: The version that answers.
            request_id: Of the request.
        """
        shadow = self.plans.plan(model.name).shadow
        if shadow is None or shadow.version == model.version or not shadow.samples(model.name, request_id):
            return None
        found = self._loaded(model.name, shadow.version)
        return found if found is not None and found.kind == model.kind and not found.is_experimental else None

    def split(self, name: str) -> tuple[str, str | None]:
        """Split `NAME@VERSION` into the name of a configured model and the version; None where it names none.

        Raises:
            ModelNotFound: no such model is configured.
        """
        if name in self._tasks:
            return name, None
        model, _, version = name.rpartition(SEPARATOR)
        if model not in self._tasks:
            known = ", ".join(self._tasks)
            raise ModelNotFound(f"no model {name[:80]!r} is served; there are: {known}", {"known": list(self._tasks)})
        return model, version

    def with_weights(self, key: ModelKey) -> ServedModel | None:
        """The version of a model with these weights; None where it is no longer served.

        Raises:
            ModelNotFound: no such model is configured.
            NotReady: it has not been warm yet.
        """
        self.get(key.name)
        return self._versions[key.name].find(key)

    def answered_by(self, asked: ServedModel, outcome: Outcome) -> ServedModel:
        """The version that computed an outcome, which may differ from the expected one.

        Args:
            asked: The expected version.
            outcome: The outcome.

        Raises:
            BackendFailed: the replica sent neither a known identity nor a description.
        """
        versions = self._versions[asked.name]
        known = versions.hear(outcome.identity)
        if known is not asked:
            self._resolved.pop(asked.name, None)
        if known is not None:
            return known
        if outcome.described is None:
            raise BackendFailed("the replica that answered did not say which version of the model it has")
        model = versions.learn(self._described(asked.deployment, orjson.loads(outcome.described)))
        log.info("another version answers", model=model.name, version=model.version, identity=model.identity.hex())
        return model

    async def readiness(self, max_age_s: float = 1.0) -> dict[str, bool]:
        """Readiness of each configured model, from a probe of a replica at most `max_age_s` ago."""
        async with self._probe_lock:
            if asyncio.get_running_loop().time() - self._probed_at > max_age_s:
                await asyncio.gather(*(self._probe(name) for name in self._backends))
                self._probed_at = asyncio.get_running_loop().time()
        return {name: self._is_ready(name) for name in self._tasks}

    def _is_ready(self, name: str) -> bool:
        """Whether a model can be asked: all its replicas have it, or its first request loads it."""
        plan = self.plans.plan(name)
        if self.is_cold(name):
            return all(self._alive[each] for each in plan.deployments)
        return self.current(name) is not None and all(name in self._ready[each] for each in plan.deployments)

    async def watch(self) -> None:
        """Read the serving plans and the descriptions of versions periodically, until cancelled."""
        while True:
            await self.plans.read()
            ready = all((await self.readiness(PROBE_INTERVAL_S if self._is_up_to_date() else 0.0)).values())
            await asyncio.sleep(READ_INTERVAL_S if ready else STARTING_INTERVAL_S)

    def _is_up_to_date(self) -> bool:
        """Whether all deployments respond, and every version that is loaded has been described."""
        loaded = [state for name in self._tasks for state in self.plans.states(name) if state.state == "loaded"]
        return all(self._alive.values()) and all(
            state.version in self._versions[state.model].served() for state in loaded
        )

    def _resolve(self, name: str) -> _Resolved:
        """The versions of a model, and that of the policy; computed again after a change, and every `RESOLVED_S`."""
        known, now_s = self._resolved.get(name), time.monotonic()
        if known is not None and known.reads == self.plans.reads and now_s < known.until_s:
            return known
        served = self._versions[name].served().values()
        loaded = [model for model in served if self.plans.is_loaded(name, model.version, model.deployment)]
        versions = tuple(sorted(loaded, key=lambda model: version_key(model.version), reverse=True))
        available = {model.version: model for model in versions}
        chosen = self.plans.plan(name).choose(available)
        last = self._last.get(name) or self._versions[name].latest()
        current = available[chosen] if chosen is not None else last
        if current is not None:
            self._last[name] = current
        resolved = self._resolved[name] = _Resolved(versions, current, self.plans.reads, now_s + RESOLVED_S)
        return resolved

    def _loaded(self, model: str, version: str) -> ServedModel | None:
        return next((served for served in self.versions(model) if served.version == version), None)

    def _find_version(self, model: str, version: str) -> ServedModel:
        versions = {served.version: served for served in self.versions(model)}
        if version in versions:
            return versions[version]
        state = self.plans.state(model, version)
        if state is not None and state.state == "loading":
            raise NotReady(f"{join_name(model, version)} is being loaded")
        if not versions:
            raise NotReady(f"{model} is not ready yet")
        reason = f" ({state.reason})" if state is not None and state.reason else ""
        raise ModelNotFound(
            f"no version {version[:80]!r} of {model} is loaded{reason}; there are: {', '.join(versions)}",
            {"known": list(self._tasks), "versions": list(versions)},
        )

    def _described(self, deployment: str, entry: dict[str, Any]) -> ServedModel:
        key = (deployment, entry["name"], entry["version"])
        if key not in self._calls:
            config = self._configs[deployment]
            self._calls[key] = calls_to(self._backends[deployment], self._topology.gateway, config, self._max_wait_s)
        return ServedModel.of(entry, deployment, self._calls[key])

    async def _probe(self, deployment: str) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                entries = await self._backends[deployment].describe()
            models = [(self._versions[entry["name"]], self._described(deployment, entry)) for entry in entries]
        except Exception as error:  # whatever is wrong with it, it is not ready
            if self._alive[deployment]:
                log.warning("deployment does not answer", deployment=deployment, reason=type(error).__name__)
            self._alive[deployment], self._ready[deployment] = False, frozenset()
            return
        self._alive[deployment] = True
        self._ready[deployment] = frozenset(model.name for _, model in models)
        for versions, model in models:
            versions.learn(model)
            self._resolved.pop(model.name, None)


def calls_to(backend: Backend, scale: GatewayScale, config: ModelDeployment, max_wait_s: float) -> ModelCalls:
    """The calls to one model.

    Images for a model of this process go to its batcher one by one; for others they are merged into few calls, none
    larger than the batches of one replica.
    """
    fills_replica = config.max_batch_size * config.device_threads
    wait = QueueWait(fills_replica * config.max_replicas)
    if isinstance(backend, LocalBackend):
        return ModelCalls(backend.host.answer, wait, max_wait_s, backend)
    coalescer = Coalescer(
        backend.predict,
        max_items=fills_replica,
        receivers=config.max_replicas,
        coalesce_wait_s=scale.coalesce_wait_s,
        weight=lambda item: len(item.image),
        max_weight=MAX_CALL_BYTES,
    )
    return ModelCalls(coalescer.submit, wait, max_wait_s, backend)
