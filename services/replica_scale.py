"""Replicas of a deployment, and what Ray reserves for each of them, as keys of a Serve configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

import structlog
from pydantic import Field, model_validator

from services.configuration import Strict

log = structlog.get_logger()

_RENAMED: Final[Mapping[str, str]] = {"linger_s": "coalesce_wait_s", "num_streams": "num_device_threads"}
"""Keys of earlier versions, which are still read, and what they are called now."""


class Autoscaling(Strict):
    """Replicas by load, in the words of Ray Serve's `autoscaling_config`."""

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(ge=1)
    target_ongoing_requests: float = Field(
        default=2.0, gt=0, description="Calls in progress per replica; a call has many images."
    )
    upscale_delay_s: float = Field(default=10.0, ge=0)
    downscale_delay_s: float = Field(default=300.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas is below min_replicas")
        return self


class Scaled(Strict):
    """Replicas and their resources, of a gateway or a model deployment."""

    @model_validator(mode="before")
    @classmethod
    def _renamed_keys(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        keys: dict[str, Any] = dict(document)  # pyright: ignore[reportUnknownArgumentType]
        for old, new in _RENAMED.items():
            if old in keys and new in cls.model_fields:
                if new in keys:
                    raise ValueError(f"{old} is the old name of {new}: leave it out")
                log.warning(f"{old} is called {new} now", deployment=keys.get("name", "gateway"))
                keys[new] = keys.pop(old)
        return keys

    num_replicas: int = Field(default=1, ge=1, description="Replicas, where they do not follow the load.")
    autoscaling: Autoscaling | None = Field(default=None, description="Replicas by load; see below.")
    num_cpus: float = Field(default=1.0, ge=0, description="CPUs that Ray reserves for a replica.")
    memory: int | None = Field(default=None, ge=1, description="Bytes of memory that Ray reserves for a replica.")
    resources: dict[str, Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="Custom resources of Ray that a replica reserves, by name, such as `{gateway: 1}`."
    )
    accelerator_type: str | None = Field(
        default=None, min_length=1, description="Replicas run on nodes with this accelerator, such as `H200`."
    )
    max_replicas_per_node: int | None = Field(
        default=None, ge=1, le=100, description="Most replicas on one node; 1 spreads them over nodes."
    )
    graceful_shutdown_timeout_s: float = Field(
        default=30.0, ge=0, description="Longest wait of a replica for its requests when it is stopped or moved."
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.autoscaling is not None and self.num_replicas != 1:
            raise ValueError("num_replicas is set, and autoscaling, too: leave one of them out")
        return self

    @property
    def reservation(self) -> dict[str, Any]:
        """What Ray reserves for a replica, in the words of its `ray_actor_options`."""
        named = {"memory": self.memory, "resources": self.resources, "accelerator_type": self.accelerator_type}
        return {"num_cpus": self.num_cpus, **{name: value for name, value in named.items() if value is not None}}

    @property
    def max_replicas(self) -> int:
        """The most replicas that there can be."""
        return self.autoscaling.max_replicas if self.autoscaling else self.num_replicas


class ExplainerScale(Strict):
    """The deployment that explains predictions: no replica until the first request, and never more than one."""

    num_cpus: float = Field(default=0.0, ge=0, description="CPUs that Ray reserves for it; it computes in idle time.")
    memory: int | None = Field(default=None, ge=1, description="Bytes of memory that Ray reserves for it.")
    resources: dict[str, Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="Custom resources of Ray that it reserves, by name, such as `{models: 1}`."
    )
    idle_timeout_s: float = Field(
        default=300.0, ge=0, description="Time without a request after which its process ends."
    )

    @property
    def reservation(self) -> dict[str, Any]:
        """What Ray reserves, in the words of its `ray_actor_options`."""
        named = {"memory": self.memory, "resources": self.resources}
        return {"num_cpus": self.num_cpus, **{name: value for name, value in named.items() if value is not None}}


class GatewayScale(Scaled):
    """The deployment that speaks HTTP."""

    coalesce_wait_s: float = Field(
        default=0.003, ge=0, le=1, description="How long a call to busy replicas waits for further images."
    )
