"""What model replicas report: which versions they have, are loading, or could not load, with a heartbeat."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from services.rollout.serving_plan import ServingPlan

LIVE_S: Final = 5.0
"""Seconds after its latest report for which a replica counts as alive; it reports every second."""

State = Literal["loading", "loaded", "failed", "unloading"]


class ReportedVersion(BaseModel):
    """The state of a version in a replica, or in all replicas of its deployment.

    Attributes:
        model: Name of the model.
        version: The version.
        state: `loaded`: it is warm and takes requests.
        reason: Why it failed; else empty.
        requested_in: `PlannedVersion.requested_in` of the load that this is the result of.
        used_at_s: Unix time of the last image that it took, or of its load.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    version: str
    state: State
    reason: str = ""
    requested_in: int = 0
    used_at_s: float = 0.0


class ReplicaReport(BaseModel):
    """The report of one replica.

    Attributes:
        deployment: Its deployment.
        replica: A unique name.
        at_s: Unix time.
        versions: The versions that it has, or should have.
        available_bytes: Memory that it may still allocate.
    """

    model_config = ConfigDict(frozen=True)

    deployment: str
    replica: str
    at_s: float
    versions: tuple[ReportedVersion, ...]
    available_bytes: int = 0

    def find(self, model: str, version: str) -> ReportedVersion | None:
        """The state of a version; None where the replica knows nothing of it."""
        return next((each for each in self.versions if (each.model, each.version) == (model, version)), None)


def live_reports(reports: Iterable[ReplicaReport], now_s: float | None = None) -> tuple[ReplicaReport, ...]:
    """The reports of replicas that are alive.

    Args:
        reports: Of all replicas.
        now_s: Unix time; None: now.
    """
    now_s = time.time() if now_s is None else now_s
    return tuple(report for report in reports if now_s - report.at_s < LIVE_S)


def state_of(plan: ServingPlan, version: str, live: Iterable[ReplicaReport]) -> ReportedVersion | None:
    """The state of a version in its deployment, from the reports of all live replicas.

    Args:
        plan: Of the model.
        version: The version.
        live: Reports of live replicas of all deployments.

    Returns:
        `loaded` where all live replicas have it, `failed` where it failed in one of them; `unloading` where it is not
        in the plan and a replica still has it. None where no replica reports, or none has it.
    """
    planned = plan.planned(version)
    if planned is None:
        found = [each for report in live if (each := report.find(plan.model, version)) and each.state != "failed"]
        return found[0].model_copy(update={"state": "unloading"}) if found else None
    states = [report.find(plan.model, version) for report in live if report.deployment == planned.deployment]
    if not states:
        return None
    known = [each for each in states if each and (each.state == "loaded" or each.requested_in >= planned.requested_in)]
    failed = next((each for each in known if each.state == "failed"), None)
    if failed is not None:
        return failed
    loaded = len(known) == len(states) and all(each.state == "loaded" for each in known)
    return ReportedVersion(
        model=plan.model,
        version=version,
        state="loaded" if loaded else "loading",
        requested_in=planned.requested_in,
        used_at_s=max((each.used_at_s for each in known), default=0.0),
    )
