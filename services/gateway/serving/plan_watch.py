"""Keeps the serving plans of all models, and the states of their versions, up to date in a gateway."""

from __future__ import annotations

import asyncio
import math

import structlog

from services.rollout.plan_store import Edit, MemoryPlanStore, PlanStore, PlanStoreFailed, key_of
from services.rollout.replica_report import ReplicaReport, ReportedVersion, live_reports, state_of
from services.rollout.serving_plan import ServingPlan
from services.topology import Topology

log = structlog.get_logger()


class PlanWatch:
    """The plans and states as they were read last; where reading fails, they stay.

    Args:
        topology: The configuration, whose plans are the first ones.
        store: Where plans are changed, and replicas report; None: nowhere, and versions stay those of the
            configuration.

    Attributes:
        reads: Grows with every read and change.
    """

    def __init__(self, topology: Topology, store: PlanStore | None = None) -> None:
        self._store = store or MemoryPlanStore()
        models = dict.fromkeys(spec.model for config in topology.deployments for spec in config.models)
        self._plans = {model: ServingPlan.of(topology, model) for model in models}
        self._live: tuple[ReplicaReport, ...] = ()
        self._states: dict[tuple[str, str], ReportedVersion] = {}
        self._is_failing = False
        self.reads = 0

    def plan(self, model: str) -> ServingPlan:
        """The plan of a configured model."""
        return self._plans[model]

    def state(self, model: str, version: str) -> ReportedVersion | None:
        """The state of a version; None where no replica reports it."""
        return self._states.get((model, version))

    def states(self, model: str) -> tuple[ReportedVersion, ...]:
        """The states of all versions of a model that replicas report."""
        return tuple(state for (name, _), state in self._states.items() if name == model)

    def available_bytes(self) -> float:
        """The least memory that a live replica may still allocate; infinite where none reports."""
        return min((report.available_bytes for report in self._live), default=math.inf)

    def is_loaded(self, model: str, version: str, deployment: str) -> bool:
        """Whether all live replicas of a deployment have a version; assumed where none of them reports."""
        if not any(report.deployment == deployment for report in self._live):
            return True
        state = self.state(model, version)
        return state is not None and state.state == "loaded"

    async def read(self) -> bool:
        """Read plans and reports; plans that the store has lost are written again.

        Returns:
            Whether the store has answered.
        """
        try:
            stored = await asyncio.to_thread(self._store.read)
            plans = {key_of(plan): plan for plan in stored.plans}
            for known in self._plans.values():
                await self._take_over(known, plans.get(key_of(known)))
        except PlanStoreFailed as error:
            if not self._is_failing:
                log.warning("serving plans cannot be read", reason=str(error))
            self._is_failing = True
            return False
        self._is_failing = False
        self._live = live_reports(stored.reports) or self._live
        self._states = {
            (plan.model, version): state
            for plan in self._plans.values()
            for version in _versions_in(plan, self._live)
            if (state := state_of(plan, version, self._live))
        }
        self.reads += 1
        return True

    async def change(self, model: str, edit: Edit) -> ServingPlan:
        """Change the plan of a model for all gateways and replicas.

        Args:
            model: Name of a configured model.
            edit: From the current plan to the new one; it may raise.

        Raises:
            PlanStoreFailed: the store is down or slow.
        """
        changed = self._plans[model] = await asyncio.to_thread(self._store.change, self._plans[model], edit)
        self.reads += 1
        return changed

    async def _take_over(self, known: ServingPlan, stored: ServingPlan | None) -> None:
        if stored is not None and stored.revision >= known.revision:
            self._plans[known.model] = stored
        elif known.revision:
            await asyncio.to_thread(self._store.restore, known)


def _versions_in(plan: ServingPlan, live: tuple[ReplicaReport, ...]) -> dict[str, None]:
    """All versions of a plan and of the reports on its model."""
    reported = [each.version for report in live for each in report.versions if each.model == plan.model]
    return dict.fromkeys([*(planned.version for planned in plan.versions), *reported])
