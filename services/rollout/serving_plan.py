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
from services.topology import NEWEST, Topology


class PlannedVersion(BaseModel):
    """A version that is to be loaded.

    Attributes:
        version: The version.
        deployment: Whose replicas load it.
        requests: How many times a load has been requested: a failed load is tried again when this grows.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    deployment: str
    requests: int = Field(default=0, ge=0)


class ServingPlan(BaseModel):
    """The serving plan of a model; immutable.

    Attributes:
        model: Name of the model.
        configured: Deployments of the configuration by version.
        versions: Versions that are to be loaded.
        policy: `newest`, or the version that answers requests without a version.
        revision: Grows with every change.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    configured: dict[str, str]
    versions: tuple[PlannedVersion, ...]
    policy: str = NEWEST
    revision: int = Field(default=0, ge=0)

    @classmethod
    def of(cls, topology: Topology, model: str) -> Self:
        """The plan of the configuration.

        Args:
            topology: With the versions of all models, as `Topology.with_versions` has it.
            model: Name of the model.
        """
        configured = {
            spec.version: config.name
            for config in topology.deployments
            for spec in config.models
            if spec.model == model
        }
        versions = tuple(PlannedVersion(version=version, deployment=name) for version, name in configured.items())
        return cls(
            model=model,
            configured=configured,
            versions=versions,
            policy=topology.version_policy.get(model, NEWEST),
        )

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

    def configured_in(self, deployment: str) -> frozenset[str]:
        """Versions that replicas of a deployment load by the configuration."""
        return frozenset(version for version, name in self.configured.items() if name == deployment)

    def with_version(self, version: str, deployment: str) -> Self:
        """The same, with a version to be loaded; where it is planned already, its load is requested again."""
        known = self.planned(version)
        planned = PlannedVersion(
            version=version,
            deployment=known.deployment if known else deployment,
            requests=known.requests + 1 if known else 1,
        )
        others = tuple(each for each in self.versions if each.version != version)
        return self.model_copy(update={"versions": (*others, planned)})

    def without_version(self, version: str) -> Self:
        """The same, without a version."""
        return self.model_copy(
            update={"versions": tuple(planned for planned in self.versions if planned.version != version)}
        )

    def with_policy(self, policy: str) -> Self:
        """The same, with another version policy."""
        return self.model_copy(update={"policy": policy})

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
