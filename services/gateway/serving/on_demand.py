"""Loads models at their first request, and unloads the least recently used of them where memory is short."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from services.errors import LoadFailed, NotReady, ServiceError
from services.gateway.serving.model_versions import ModelVersions
from services.gateway.serving.open_request import OpenRequest
from services.gateway.serving.registry import Registry

log = structlog.get_logger()

RETRY_AFTER_S: Final = 5.0
"""When a client may ask again for a model that takes long to load."""
SETTLED_S: Final = 2.0
"""Time after which replicas have reported the memory that an unload has freed: they report once a second."""
FAILED_S: Final = 30.0
"""Time after which a model whose load failed is tried again."""


class OnDemand:
    """The models of the configuration that are not loaded at the start.

    Args:
        registry: Knows the models, and their serving plans.
        versions: Loads and unloads them in all replicas.
        timeout_s: Longest time that a request waits for its model.
        free_bytes: Memory that must be available before a model is loaded.
    """

    def __init__(self, registry: Registry, versions: ModelVersions, timeout_s: float, free_bytes: int) -> None:
        self._registry = registry
        self._versions = versions
        self._timeout_s = timeout_s
        self._free_bytes = free_bytes
        self._failed: dict[str, tuple[float, NotReady]] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    async def ensure_loaded(self, opened: OpenRequest, task: str, name: str | None) -> None:
        """Load the model of a request, unless it is loaded; the time does not count towards the request's own limit.

        Args:
            opened: The request.
            task: Of the endpoint; empty where the name alone tells it.
            name: Model of the request, or `NAME@VERSION`; None: the first configured one of the task.

        Raises:
            ModelNotFound: no such model is configured.
            NotReady: it is still being loaded, cannot be loaded, or there is too little memory for it.
        """
        if not self._registry.on_demand:
            return
        model = self._registry.model_of(task, name)
        if model not in self._registry.on_demand or self._is_loaded(model):
            return
        async with opened.paused(self._timeout_s + 1.0):
            await self._load(model)

    def _is_loaded(self, model: str) -> bool:
        plan = self._registry.plans.plan(model)
        return bool(plan.versions) and bool(self._registry.versions(model))

    async def _load(self, model: str) -> None:
        """Wait for a load, which is one for all requests that wait, and goes on where one of them gives up."""
        loading = self._loads.get(model)
        if loading is None:
            loading = self._loads[model] = asyncio.create_task(self._load_in_turn(model))
            loading.add_done_callback(lambda done: self._ended(model, done))
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.shield(loading)
        except TimeoutError:
            raise _still_loading(model) from None

    def _ended(self, model: str, loading: asyncio.Task[None]) -> None:
        del self._loads[model]
        if not loading.cancelled():
            loading.exception()  # read, or asyncio would log it where nobody waits any more

    async def _load_in_turn(self, model: str) -> None:
        failed_at_s, error = self._failed.get(model, (float("-inf"), None))
        if error is not None and time.monotonic() - failed_at_s < FAILED_S:
            raise error
        async with self._turn:  # so that each sees the memory that the one before it has taken
            await self._make_room(model)
            try:
                status = await self._versions.load(model, self._registry.first_version(model), self._timeout_s)
            except LoadFailed as failure:
                self._failed[model] = time.monotonic(), NotReady(str(failure))
                raise self._failed[model][1] from None
        if status.state != "loaded":
            raise _still_loading(model)

    async def _make_room(self, model: str) -> None:
        """Unload models, the least recently used first, until enough memory is available.

        Raises:
            NotReady: there is too little, and no model left to unload.
        """
        while self._registry.plans.available_bytes() < self._free_bytes:
            victim = self._least_recently_used(model)
            if victim is None:
                left = self._registry.plans.available_bytes() // 2**20
                wanted = self._free_bytes // 2**20
                raise NotReady(f"{model} is not loaded: {left:.0f} MiB of memory are left, and {wanted} must be")
            log.info("model makes room", model=victim, wanted=model)
            try:
                for version in self._registry.plans.plan(victim).versions:
                    await self._versions.unload(victim, version.version, self._timeout_s)
            except ServiceError as error:  # such as that an administrator was faster
                log.warning("model stays", model=victim, reason=str(error))
                return
            await asyncio.sleep(SETTLED_S)  # or the next one would be unloaded by a figure from before
            await self._registry.plans.read()

    def _least_recently_used(self, wanted: str) -> str | None:
        plans = self._registry.plans
        loaded = [
            (max(state.used_at_s for state in states), model)
            for model in self._registry.on_demand
            if model != wanted and plans.plan(model).versions and (states := plans.states(model))
        ]
        return min(loaded)[1] if loaded else None


def _still_loading(model: str) -> NotReady:
    return NotReady(f"{model} is still being loaded", {}, RETRY_AFTER_S)
