"""The model registry of a gateway: configured models, their deployments, and their readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from services.accuracy.store import ModelKey
from services.answers.wire import Outcome
from services.errors import BackendFailed, InvalidParameters, ModelNotFound, NotReady
from services.gateway.serving.backends import Backend
from services.gateway.serving.coalescer import Coalescer
from services.gateway.serving.model_calls import ModelCalls
from services.gateway.serving.queue_wait import QueueWait
from services.gateway.serving.served_model import ServedModel
from services.gateway.serving.versions import Versions
from services.telemetry import MODEL_CONFIGURED
from services.topology import GatewayScale, ModelDeployment, Topology

log = structlog.get_logger()

PROBE_TIMEOUT_S = 2.0
PROBE_INTERVAL_S = 5.0
STARTING_INTERVAL_S = 0.2
MAX_CALL_BYTES = 8 * 2**20
"""The most image bytes of a call; a larger image is sent alone."""


class Registry:
    """The configured models and their state.

    Args:
        topology: The configuration.
        backends: The backend of each deployment, by its name.
        max_wait_s: Longest expected wait of an image for its model.
    """

    def __init__(self, topology: Topology, backends: Mapping[str, Backend], max_wait_s: float = float("inf")) -> None:
        self._backends = dict(backends)
        self._tasks = {spec.name: config.task for config in topology.deployments for spec in config.models}
        for name, task in self._tasks.items():
            MODEL_CONFIGURED.labels(task, name).set(1)
        self._models_of = {config.name: tuple(spec.name for spec in config.models) for config in topology.deployments}
        self._calls = {
            spec.name: calls_to(self._backends[config.name], topology.gateway, config, max_wait_s)
            for config in topology.deployments
            for spec in config.models
        }
        self._served: dict[str, Versions] = {}
        self._ready: dict[str, frozenset[str]] = dict.fromkeys(self._backends, frozenset())
        self._probed_at = float("-inf")
        self._probe_lock = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all configured models."""
        return tuple(self._tasks)

    def served(self) -> tuple[ServedModel, ...]:
        """All models that have been warm, in the order of the configuration."""
        return tuple(self._served[name].current for name in self._tasks if name in self._served)

    def entries(self) -> tuple[dict[str, Any], ...]:
        """Catalog entries of all models that have been warm, in the order of the configuration."""
        return tuple(model.entry for model in self.served())

    def find(self, task: str, name: str | None) -> ServedModel:
        """Find the model of a request.

        Args:
            task: The task of the endpoint.
            name: Model of the request; None: the first configured model of the task.

        Raises:
            ModelNotFound: no such model is configured; the message lists those that are.
            InvalidParameters: the model is for another task.
            NotReady: it has not been warm yet.
        """
        if name is None:
            name = next((known for known, of_task in self._tasks.items() if of_task == task), None)
            if name is None:
                raise ModelNotFound(f"no model for {task} is served", {"known": list(self._tasks)})
        model = self.get(name)
        if model.task != task:
            raise InvalidParameters(f"{name} is a model for {model.task}, not for {task}", {"task": model.task})
        return model

    def get(self, name: str) -> ServedModel:
        """Find a model of any task.

        Raises:
            ModelNotFound: no such model is configured; the message lists those that are.
            NotReady: it has not been warm yet.
        """
        if name not in self._tasks:
            known = ", ".join(self._tasks)
            raise ModelNotFound(f"no model {name[:80]!r} is served; there are: {known}", {"known": list(self._tasks)})
        if name not in self._served:
            raise NotReady(f"{name} is not ready yet")
        return self._served[name].current

    def with_weights(self, key: ModelKey) -> ServedModel | None:
        """The version of a model with these weights; None where it is no longer served.

        Raises:
            ModelNotFound: no such model is configured.
            NotReady: it has not been warm yet.
        """
        self.get(key.name)
        return self._served[key.name].find(key)

    def answered_by(self, asked: ServedModel, outcome: Outcome) -> ServedModel:
        """The version that computed an outcome, which may differ from the expected one.

        Args:
            asked: The expected version.
            outcome: The outcome.

        Raises:
            BackendFailed: the replica sent neither a known identity nor a description.
        """
        versions = self._served[asked.name]
        known = versions.hear(outcome.identity)
        if known is not None:
            return known
        if outcome.described is None:
            raise BackendFailed("the replica that answered did not say which version of the model it has")
        model = versions.learn(ServedModel.of(orjson.loads(outcome.described), self._calls[asked.name]))
        log.info("another version answers", model=model.name, version=model.version, identity=model.identity.hex())
        return model

    async def readiness(self, max_age_s: float = 1.0) -> dict[str, bool]:
        """Readiness of each configured model, from a probe of a replica at most `max_age_s` ago."""
        async with self._probe_lock:
            if asyncio.get_running_loop().time() - self._probed_at > max_age_s:
                await asyncio.gather(*(self._probe(name) for name in self._backends))
                self._probed_at = asyncio.get_running_loop().time()
        return {
            model: model in self._ready[deployment]
            for deployment, models in self._models_of.items()
            for model in models
        }

    async def watch(self) -> None:
        """Refresh the entries periodically until cancelled."""
        while True:
            ready = all((await self.readiness(0.0)).values())
            await asyncio.sleep(PROBE_INTERVAL_S if ready else STARTING_INTERVAL_S)

    async def _probe(self, deployment: str) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                entries = await self._backends[deployment].describe()
            models = [ServedModel.of(entry, self._calls[entry["name"]]) for entry in entries]
        except Exception as error:  # whatever is wrong with it, it is not ready
            if self._ready[deployment]:
                log.warning("deployment does not answer", deployment=deployment, reason=type(error).__name__)
            self._ready[deployment] = frozenset()
            return
        self._ready[deployment] = frozenset(model.name for model in models)
        for model in models:
            self._served.setdefault(model.name, Versions(model)).learn(model)


def calls_to(backend: Backend, scale: GatewayScale, config: ModelDeployment, max_wait_s: float) -> ModelCalls:
    """The calls to one model: images are merged into few calls, none larger than the batches of one replica."""
    fills_replica = config.max_batch_size * config.num_device_threads
    coalescer = Coalescer(
        backend.predict,
        max_items=fills_replica,
        receivers=config.max_replicas,
        coalesce_wait_s=scale.coalesce_wait_s,
        weight=lambda item: len(item.image),
        max_weight=MAX_CALL_BYTES,
    )
    return ModelCalls(coalescer, QueueWait(fills_replica * config.max_replicas), max_wait_s)
