"""The serving plan of a model: which versions are to be loaded, and which one answers requests without a version.

The configuration is the first plan. Administrators change it while the application runs; replicas and gateways read it
every second (`services.rollout.plan_store`). A plan belongs to the configuration that it was made under: replicas and
gateways of another configuration, such as during a rolling update, have a plan of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from models.catalog.version_names import version_key
from services.rollout.canary import Canary
from services.rollout.shadow import Shadow
from services.topology import NEWEST, Topology


class PlannedVersion(BaseModel):
    """A version that is to be loaded.

    Attributes:
        version: The version.
        deployment: Whose replicas load it.
        requested_in: Revision of the plan that requested its load: a failed load is tried again when this grows.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    deployment: str
    requested_in: int = Field(default=0, ge=0)


class ServingPlan(BaseModel):
    """The serving plan of a model; immutable.

    Attributes:
        model: Name of the model.
        configured: Deployments of the configuration by version.
        versions: Versions that are to be loaded.
        policy: `newest`, or the version that answers requests without a version.
        canary: Answers a part of these requests in its place.
        shadow: Answers a sample of them, too, off the response path.
        revision: Grows with every change.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    configured: dict[str, str]
    versions: tuple[PlannedVersion, ...]
    policy: str = NEWEST
    canary: Canary | None = None
    shadow: Shadow | None = None
    revision: int = Field(default=0, ge=0)

    @classmethod
    def of(cls, topology: Topology, model: str) -> Self:
        """The plan of the configuration.

        Args:
            topology: With the versions of all models, as `Topology.with_versions` has it.
            model: Name of the model.
        """
        specs = [(spec, config.name) for config in topology.deployments for spec in config.models]
        configured = {spec.version: deployment for spec, deployment in specs if spec.model == model}
        plan = cls.first(model, configured, topology.version_policy.get(model, NEWEST))
        return plan.model_copy(update={"versions": ()}) if topology.is_on_demand(model) else plan

    @classmethod
    def first(cls, model: str, configured: Mapping[str, str], policy: str = NEWEST) -> Self:
        """A plan that has not been changed.

        Args:
            model: Name of the model.
            configured: Deployments of the configuration by version.
            policy: The version policy.
        """
        versions = tuple(PlannedVersion(version=version, deployment=name) for version, name in configured.items())
        return cls(model=model, configured=dict(configured), versions=versions, policy=policy)

    @property
    def deployments(self) -> tuple[str, ...]:
        """Deployments that have versions of the model by the configuration, in its order."""
        return tuple(dict.fromkeys(self.configured.values()))

    def planned(self, version: str) -> PlannedVersion | None:
        """A version that is to be loaded; None where it is not."""
        return next((planned for planned in self.versions if planned.version == version), None)

    def in_deployment(self, deployment: str) -> dict[str, PlannedVersion]:
        """Versions that replicas of a deployment load, by version."""
        return {planned.version: planned for planned in self.versions if planned.deployment == deployment}

    def with_version(self, version: str, deployment: str) -> Self:
        """The same, with a version to be loaded; where it is planned already, its load is requested again."""
        known = self.planned(version)
        planned = PlannedVersion(
            version=version,
            deployment=known.deployment if known else deployment,
            requested_in=self.revision + 1,
        )
        others = tuple(each for each in self.versions if each.version != version)
        return self.model_copy(update={"versions": (*others, planned)})

    def without_version(self, version: str) -> Self:
        """The same, without a version, which is no canary and no shadow any more either."""
        return self.model_copy(
            update={
                "versions": tuple(planned for planned in self.versions if planned.version != version),
                "canary": None if self.canary and self.canary.version == version else self.canary,
                "shadow": None if self.shadow and self.shadow.version == version else self.shadow,
            }
        )

    def choose(self, available: Mapping[str, object]) -> str | None:
        """The version that answers requests without a version.

        Args:
            available: Versions that are loaded.

        Returns:
            The pinned version, or the newest one; None where the pinned one is not available, or none is.
        """
        if self.policy != NEWEST:
            return self.policy if self.policy in available else None
        return max(available, key=version_key, default=None)
