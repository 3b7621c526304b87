"""Loads and unloads versions of models, and changes their version policy, while they are served; for any protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from models.catalog.lookup import find
from models.catalog.version_names import join_name
from models.errors import BrokenCard, UnknownModel
from models.kinds import experimental_mark
from services.errors import InvalidParameters, LoadFailed, ModelNotFound, NotReady, PlanUnavailable, VersionInUse
from services.gateway.schemas import VersionStatus
from services.gateway.serving.registry import Registry
from services.rollout.canary import Canary
from services.rollout.load_failure import reason_of
from services.rollout.plan_store import Edit, PlanStoreFailed
from services.rollout.replica_report import ReportedVersion
from services.rollout.serving_plan import ServingPlan
from services.rollout.shadow import Shadow
from services.topology import NEWEST

log = structlog.get_logger()

_INTERVAL_S: Final = 0.2
"""Seconds between two looks at the reports of replicas while a load or unload is awaited."""


PlanChanges = Mapping[str, str | Canary | Shadow | None]
"""New members of a serving plan, by name."""


class ModelVersions:
    """The versions of the served models, for administrators.

    Args:
        registry: Knows the models, and their serving plans.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._plans = registry.plans

    async def load(self, name: str, version: str | None = None, timeout_s: float = 30.0) -> VersionStatus:
        """Load a version of a configured model in all replicas of its deployment, and warm it up.

        The versions that are loaded go on serving. Once all replicas have it, requests that name it are answered by it,
        and those that name no version, too, where the version policy chooses it.

        Args:
            name: Name of the model, or `NAME@VERSION`.
            version: The version; None: the newest of the catalog.
            timeout_s: Longest wait; the load goes on afterwards.

        Returns:
            Its state, `loaded`, or after the timeout `loading`.

        Raises:
            ModelNotFound: no such model is configured, or the catalog has no such version.
            LoadFailed: the version cannot be loaded, or its warm-up failed; the others stay.
            NotReady: no replica of its deployment reports.
            PlanUnavailable: the store of serving plans does not respond.
        """
        model, version = self._split(name, version)
        version = self._in_catalog(model, version)
        await self._read()
        deployment = self._plans.plan(model).deployments[0]
        state = self._plans.state(model, version)
        if self._plans.plan(model).planned(version) is None or (state is not None and state.state == "failed"):
            await self._change(model, lambda plan: plan.with_version(version, deployment))
            log.info("version to be loaded", model=model, version=version, deployment=deployment)
        state = await self._wait(model, version, lambda state: state is None or state.state == "loading", timeout_s)
        if state is None:
            raise NotReady(f"no replica of {deployment} says what it has loaded")
        if state.state == "failed":
            message = f"{join_name(model, version)} could not be loaded: {state.reason}"
            raise LoadFailed(message, {"model": model, "version": version, "reason": state.reason})
        await self._registry.readiness(0.0)  # what it is, so that requests may name it
        return self.status(model, version)

    async def unload(self, name: str, version: str | None = None, timeout_s: float = 30.0) -> VersionStatus:
        """Unload a version of a model, once no request uses it any more.

        Args:
            name: Name of the model, or `NAME@VERSION`.
            version: The version.
            timeout_s: Longest wait; the unload goes on afterwards.

        Returns:
            Its state, `unloaded`, or after the timeout `unloading`.

        Raises:
            ModelNotFound: no such model is configured, or the version is not loaded.
            InvalidParameters: no version is named.
            VersionInUse: it is pinned by the version policy, or no other version is loaded; never of a model that is
                loaded on demand.
            PlanUnavailable: the store of serving plans does not respond.
        """
        model, version = self._split(name, version)
        if version is None:
            raise InvalidParameters(f"name the version of {model} to unload", {"parameter": "version"})
        await self._read()
        state = self._plans.state(model, version)
        if state is None or state.state != "unloading":
            await self._change(model, lambda plan: self._without(plan, version))
            log.info("version to be unloaded", model=model, version=version)
        await self._wait(model, version, lambda state: state is not None, timeout_s)
        return self.status(model, version)

    async def change_plan(self, name: str, changes: PlanChanges) -> ServingPlan:
        """Change which versions of a model answer the requests that name none.

        Args:
            name: Name of the model.
            changes: Members of `ServingPlan`: `policy`, which is `newest` or a loaded version; `canary` and `shadow`,
                each a loaded version, or None for none. The others stay.

        Returns:
            The new serving plan.

        Raises:
            ModelNotFound: no such model is configured, or no such version is loaded.
            InvalidParameters: a version predicts something else than the others.
            PlanUnavailable: the store of serving plans does not respond.
        """
        model, _ = self._split(name, None)
        await self._read()
        for change in changes.values():
            self._check_version(model, change)
        changed = await self._change(model, lambda plan: plan.model_copy(update=changes))
        log.info("serving plan changed", model=model, **{member: str(change) for member, change in changes.items()})
        return changed

    async def plan(self, name: str) -> ServingPlan:
        """The serving plan of a model.

        Raises:
            ModelNotFound: no such model is configured.
            PlanUnavailable: the store of serving plans does not respond.
        """
        model, _ = self._split(name, None)
        await self._read()
        return self._plans.plan(model)

    def is_unserved(self, model: str) -> bool:
        """Whether a model is loaded on demand, and is cold now, being loaded, or failed to load."""
        registry = self._registry
        return model in registry.on_demand and (registry.is_cold(model) or registry.current(model) is None)

    def unserved_entries(self) -> tuple[dict[str, Any], ...]:
        """Catalog entries of the models that are loaded on demand, and not served now."""
        return tuple(self.unserved_entry(model) for model in self._registry.names if self.is_unserved(model))

    def unserved_entry(self, model: str) -> dict[str, Any]:
        """The catalog entry of a model that is loaded on demand, and not served now."""
        entry = find(join_name(model, self._registry.first_version(model)))
        return {**entry.to_dict(), **experimental_mark(entry.kind)}

    def statuses(self) -> tuple[VersionStatus, ...]:
        """The states of all versions of all configured models."""
        return tuple(status for model in self._registry.names for status in self.statuses_of(model))

    def statuses_of(self, model: str) -> tuple[VersionStatus, ...]:
        """The states of the versions of a configured model: in the order of its plan, then those being unloaded."""
        plan = self._plans.plan(model)
        cold = [self._registry.first_version(model)] if self._registry.is_cold(model) else []
        planned = [*cold, *(each.version for each in plan.versions)]
        served = [each.version for each in self._registry.versions(model)]
        reported = [each.version for each in self._plans.states(model)]
        return tuple(self.status(model, version) for version in dict.fromkeys([*planned, *served, *reported]))

    def status(self, model: str, version: str) -> VersionStatus:
        """The state of a version of a configured model."""
        served = {each.version: each for each in self._registry.versions(model)}
        state, planned = self._plans.state(model, version), self._plans.plan(model).planned(version)
        unreported = "loaded" if version in served else "loading" if planned else "unloaded"
        if state is None and planned is None and model in self._registry.on_demand:
            unreported = "cold"
        current = self._registry.current(model)
        return VersionStatus(
            name=model,
            version=version,
            state=state.state if state else unreported,
            reason=state.reason or None if state else None,
            deployment=planned.deployment if planned else None,
            is_default=current is not None and current.version == version,
        )

    def _split(self, name: str, version: str | None) -> tuple[str, str | None]:
        model, named = self._registry.split(name)
        if named is not None and version not in (None, named):
            raise InvalidParameters(f"version is {version}, but the path names {named}", {"parameter": "version"})
        return model, version if named is None else named

    def _in_catalog(self, model: str, version: str | None) -> str:
        try:
            entry = find(model if version is None else join_name(model, version))
        except UnknownModel as error:
            known = ", ".join(error.known) if version is not None else ""
            message = f"the catalog has no {join_name(model, version or NEWEST)}; there are: {known}"
            raise ModelNotFound(message, {"known": list(error.known)}) from None
        except BrokenCard as error:
            log.error("broken card", reason=str(error))
            raise LoadFailed(f"its card cannot be used: {reason_of(error)}", {"model": model}) from None
        task = self._registry.task(model)
        if entry.task != task:
            raise LoadFailed(f"{join_name(model, entry.version)} is a model for {entry.task}, not for {task}")
        return entry.version

    def _check_version(self, model: str, change: str | Canary | Shadow | None) -> None:
        """Raise unless the version of a change is loaded, and of the kind of the one that answers now."""
        version = change.version if isinstance(change, Canary | Shadow) else change
        if version is None or version == NEWEST:
            return
        served, current = self._registry.get(join_name(model, version)), self._registry.get(model)
        if served.kind != current.kind:
            message = f"{join_name(model, version)} is a model for {served.kind}, and {model} is for {current.kind}"
            raise InvalidParameters(message, {"version": version})
        if isinstance(change, Shadow) and served.is_experimental:
            message = f"shadow: {model} makes images, which cannot be compared: try another version as a canary"
            raise InvalidParameters(message, {"parameter": "shadow"})

    def _without(self, plan: ServingPlan, version: str) -> ServingPlan:
        name = join_name(plan.model, version)
        loaded = [each.version for each in self._registry.versions(plan.model)]
        if plan.planned(version) is None:
            there = ", ".join(each.version for each in plan.versions)
            raise ModelNotFound(f"{name} is not loaded; there are: {there}", {"versions": loaded})
        if plan.policy == version and plan.model not in self._registry.on_demand:
            raise VersionInUse(f"{name} is pinned by the version policy", {"policy": plan.policy})
        others = [each for each in plan.versions if each.version != version and each.version in loaded]
        if not others and plan.model not in self._registry.on_demand:
            raise VersionInUse(f"no other version of {plan.model} is loaded; load one first", {"versions": loaded})
        return plan.without_version(version)

    async def _wait(
        self, model: str, version: str, is_pending: Callable[[ReportedVersion | None], bool], timeout_s: float
    ) -> ReportedVersion | None:
        give_up_at = time.monotonic() + timeout_s
        while is_pending(state := self._plans.state(model, version)) and time.monotonic() < give_up_at:
            await asyncio.sleep(_INTERVAL_S)
            await self._plans.read()  # where the store fails for a moment, the load goes on all the same
        return state

    async def _read(self) -> None:
        if not await self._plans.read():
            raise _unavailable()

    async def _change(self, model: str, edit: Edit) -> ServingPlan:
        try:
            changed = await self._plans.change(model, edit)
        except PlanStoreFailed:
            raise _unavailable() from None
        await self._read()
        return changed


def _unavailable() -> PlanUnavailable:
    return PlanUnavailable("the store of serving plans is down or slow; try again")


def describe_plan(plan: ServingPlan) -> dict[str, Any]:
    """A serving plan as JSON."""
    return {
        "model": plan.model,
        "policy": plan.policy,
        "revision": plan.revision,
        "versions": [{"version": each.version, "deployment": each.deployment} for each in plan.versions],
        "canary": plan.canary and plan.canary.model_dump(),
        "shadow": plan.shadow and plan.shadow.model_dump(),
    }
