"""The typed shape of `args` in a Serve configuration file: what is served, by how many replicas, on which devices.

`deploy/serve/config.yaml` is the one that ships. Everything that differs between a laptop, compose and Kubernetes is a
key here; a key that is wrong or unknown is refused by name before anything starts.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import structlog
from pydantic import BeforeValidator, Field, model_validator

from models.catalog.version_names import join_name, split_name
from models.entries import Task
from services.configuration import Strict, validate
from services.model_deployment import ModelDeployment, ModelSpec
from services.replica_scale import ExplainerScale, GatewayScale

log = structlog.get_logger()

NEWEST: Final = "newest"
"""The version policy that chooses the newest version."""

EXPLAINER: Final = "Explainer"
"""Name of the deployment that explains predictions."""

Layout = Literal["auto", "split", "colocated"]
"""Where the models run: in replicas of their own, or in those of the gateway; see `services.layout` for `auto`."""


def _version_of(value: Any) -> Any:
    """A version of the file: YAML reads `2` as an integer, and would read `1.10` as the number 1.1."""
    if isinstance(value, float):
        raise ValueError(f"{value} is a number; write the version in quotes")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Topology(Strict):
    """Everything that `services.app.build` starts."""

    topology: Layout = Field(
        default="auto",
        description="`split`: each deployment has replicas of its own; `colocated`: every replica of the gateway hosts "
        "the models of all deployments in its own process; `auto`: `tapetum serve` chooses by the machine, and a "
        "cluster splits.",
    )
    gateway: GatewayScale = GatewayScale()
    explainer: ExplainerScale = ExplainerScale()
    deployments: tuple[ModelDeployment, ...] = Field(min_length=1)
    version_policy: dict[str, Annotated[str, BeforeValidator(_version_of), Field(min_length=1)]] = Field(
        default={},
        description="By model: `newest`, the default, or the version that requests without a version are answered by.",
    )
    preload: tuple[str, ...] | None = Field(
        default=None,
        description="Models that are loaded at the start; the others by their first request. Unset: all.",
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Topology:
        names = [deployment.name for deployment in self.deployments]
        models = [spec.name for deployment in self.deployments for spec in deployment.models]
        for kind, values in (("deployment", names), ("model", models)):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{kind} {twice[0]} is configured twice")
        if "Gateway" in names:
            raise ValueError("Gateway is the name of the HTTP deployment; call this one something else")
        if EXPLAINER in names:
            raise ValueError(f"{EXPLAINER} is the name of the deployment that explains; call this one something else")
        return self

    @model_validator(mode="after")
    def _versions_agree(self) -> Topology:
        tasks: dict[str, Task] = {}
        for config in self.deployments:
            for spec in config.models:
                if tasks.setdefault(spec.model, config.task) != config.task:
                    raise ValueError(f"versions of {spec.model} are for {tasks[spec.model]} and for {config.task}")
        for model, version in self.version_policy.items():
            if model not in tasks:
                raise ValueError(f"version_policy: no model {model} is configured")
            self._check_pinned(model, version)
        for model in self.preload or ():
            if model not in tasks:
                raise ValueError(f"preload: no model {model} is configured")
        return self

    def is_on_demand(self, model: str) -> bool:
        """Whether a configured model is loaded by its first request."""
        return self.preload is not None and model not in self.preload

    @model_validator(mode="after")
    def _can_colocate(self) -> Topology:
        if self.topology == "colocated" and (reason := self.apart):
            raise ValueError(f"topology is colocated, but {reason}: set topology to split")
        return self

    @property
    def is_colocated(self) -> bool:
        """Whether the replicas of the gateway host the models."""
        return self.topology == "colocated"

    @property
    def apart(self) -> str:
        """Why a deployment needs replicas of its own; empty where none does."""
        return next((f"{config.name} has {reason}" for config in self.deployments if (reason := config.apart)), "")

    def _check_pinned(self, model: str, version: str) -> None:
        specs = [spec for config in self.deployments for spec in config.models if spec.model == model]
        named = [split_name(spec.name)[1] for spec in specs]
        if version == NEWEST or version in named or None in named:
            return
        raise ValueError(f"version_policy: {join_name(model, version)} is not configured; add it to models")

    def with_versions(self) -> Topology:
        """The same with the version of every model: what is `NAME` in the file becomes `NAME@VERSION`.

        So all replicas load the same versions, whatever is added to the catalog while the application runs. A version
        that the file names twice in one deployment is loaded once.

        Raises:
            TopologyError: one version is configured in two deployments, or a version is not in the catalog.
        """
        deployments = tuple(
            config.model_copy(update={"models": self._versions_of(config)}) for config in self.deployments
        )
        document = self.model_copy(update={"deployments": deployments}).model_dump()
        return validate(Topology, document, "args")

    def _versions_of(self, config: ModelDeployment) -> tuple[ModelSpec, ...]:
        chosen: dict[str, ModelSpec] = {}
        for spec in config.models:
            pinned = self.version_policy.get(spec.model, NEWEST)
            named = split_name(spec.name)[1]
            name = join_name(spec.model, named or (spec.version if pinned == NEWEST else pinned))
            if name in chosen:
                log.warning(f"{spec.name} names a version twice", version=name, deployment=config.name)
            chosen.setdefault(name, spec.model_copy(update={"name": name}))
        return tuple(chosen.values())


def check_topology(args: dict[str, Any] | Topology) -> Topology:
    """The typed `args` of an application.

    Raises:
        TopologyError: names the key that is wrong.
    """
    if isinstance(args, Topology):
        return args
    return validate(Topology, args, "args")
