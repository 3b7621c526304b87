"""Builds the Ray Serve application from a configuration.

`build` is the application builder of `import_path: services.app:build` in a Serve configuration file, so that
`tapetum serve`, `serve deploy` and KubeRay all start the same application.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ray.serve import Application

from services.deployments.explainer import ExplainerReplica
from services.deployments.replica import ModelReplica, start_host
from services.gateway.deployment import Gateway
from services.model_deployment import ModelDeployment
from services.replica_scale import ExplainerScale, Scaled
from services.rollout.serving_plan import ServingPlan
from services.topology import EXPLAINER, Topology, check_topology

QUIET: dict[str, Any] = {"log_level": "WARNING", "enable_access_log": False}
"""Turns off Ray's log line for every request, which costs more than the JSON; the gateway logs requests itself."""

LOAD_ATTEMPTS = 2
"""Attempts to start a replica before the error is reported; Ray's default of 20 takes minutes."""


EXPLAINER_SHUTDOWN_S = 5.0
"""Longest wait for an explanation in progress when the stack stops; gateways have drained before."""


def build(args: dict[str, Any] | Topology) -> Application:
    """Builds the application of a configuration.

    Args:
        args: The `args` of the application, see `services.topology.Topology`.

    Raises:
        services.configuration.TopologyError: names the invalid key.
    """
    topology = check_topology(args).with_versions()
    prepare = _local_models if topology.is_colocated else _bind_models
    backends = {config.name: prepare(config, _plans(config, topology)) for config in topology.deployments}
    gateway = Gateway.options(
        max_constructor_retry_count=LOAD_ATTEMPTS,
        logging_config=QUIET,
        ray_actor_options=topology.gateway.reservation,
        **_scale(topology.gateway),
    )
    return gateway.bind(topology.model_dump(), backends, _bind_explainer(topology.explainer))


def _plans(config: ModelDeployment, topology: Topology) -> list[dict[str, Any]]:
    models = dict.fromkeys(spec.model for spec in config.models)
    return [ServingPlan.of(topology, model).model_dump() for model in models]


def _local_models(config: ModelDeployment, plans: list[dict[str, Any]]) -> Callable[[], object]:
    """What starts the host of a deployment in a replica of the gateway."""
    return partial(start_host, config.model_dump(), plans)


def _bind_models(config: ModelDeployment, plans: list[dict[str, Any]]) -> Application:
    deployment = ModelReplica.options(
        name=config.name,
        max_ongoing_requests=config.max_ongoing_requests,
        max_constructor_retry_count=LOAD_ATTEMPTS,
        logging_config=QUIET,
        ray_actor_options={**config.reservation, "num_gpus": config.reserved_gpus},
        **_scale(config),
    )
    return deployment.bind(config.model_dump(), plans)


def _bind_explainer(config: ExplainerScale) -> Application:
    """The explainer: its process starts with the first request, and ends when there has been none for a while."""
    deployment = ExplainerReplica.options(
        name=EXPLAINER,
        max_constructor_retry_count=LOAD_ATTEMPTS,
        logging_config=QUIET,
        ray_actor_options=config.reservation,
        graceful_shutdown_timeout_s=EXPLAINER_SHUTDOWN_S,
        autoscaling_config={
            "min_replicas": 0,
            "max_replicas": 1,
            "target_ongoing_requests": 1,
            "upscale_delay_s": 0,
            "downscale_delay_s": config.idle_timeout_s,
        },
    )
    return deployment.bind()


def _scale(config: Scaled) -> dict[str, Any]:
    scale: dict[str, Any] = {"graceful_shutdown_timeout_s": config.graceful_shutdown_timeout_s}
    if config.max_replicas_per_node is not None:
        scale["max_replicas_per_node"] = config.max_replicas_per_node
    if config.autoscaling is None:
        return {**scale, "num_replicas": config.num_replicas}
    return {**scale, "autoscaling_config": config.autoscaling.model_dump()}
