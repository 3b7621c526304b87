"""The gateway as a Ray Serve deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from services.gateway.accuracy.feedback_store import LEAST_PATIENCE_S, RedisStore
from services.gateway.app import create_app
from services.gateway.explanations.calls import RayExplainer
from services.gateway.exposure import check_exposure, check_redis
from services.gateway.http_server import shape_http_server
from services.gateway.open_inference.grpc_methods import OpenInferenceMethods
from services.gateway.serving.backends import Backend, Host, LocalBackend, RayBackend
from services.gateway.serving.cache import RedisCache, connect
from services.gateway.serving.offload import favour_the_event_loop
from services.gateway.serving.pipelined_redis import PipelinedRedis
from services.gateway.serving.registry import Registry
from services.gateway.stack_check import StackCheck
from services.log_lines import configure_logging
from services.machine.hosts import is_loopback
from services.machine.loopback import fence_public_grpc, fence_replica_grpc, node_address, public_host
from services.machine.stack_token import read_token
from services.rollout.plan_store import open_plan_store, stack_name
from services.rollout.traffic_store import RedisTrafficStore
from services.settings import Settings, read_settings
from services.telemetry import replica_has_started, replica_starts
from services.topology import Topology

UNBOUNDED_CALLS = 100_000
"""The gateway limits its concurrent requests itself, with a JSON error; Ray's own limit responds in plain text."""


@serve.deployment(max_ongoing_requests=UNBOUNDED_CALLS)  # pyright: ignore[reportUnknownMemberType]
@serve.ingress()  # pyright: ignore[reportUnknownMemberType, reportUntypedClassDecorator]
class Gateway(OpenInferenceMethods):
    """The Ray Serve deployment of the gateway: HTTP to clients; models in replicas of their own, or in this process.

    Args:
        topology: The `args` of the configuration.
        backends: By name of the deployment: its handle; or what starts its host in this process, where models are
            colocated.
        explainer: Handle of the deployment that explains predictions; None: there is none.
    """

    def __init__(
        self,
        topology: dict[str, Any],
        backends: dict[str, DeploymentHandle[Any] | Callable[[], Host]],
        explainer: DeploymentHandle[Any] | None = None,
    ) -> None:
        replica_starts("Gateway")
        fence_replica_grpc()
        fence_public_grpc()
        shape_http_server()
        self._settings = read_settings()
        configure_logging(self._settings)
        _check_node(self._settings)
        self._topology = Topology.model_validate(topology)
        tasks = {config.name: config.task for config in self._topology.deployments}
        self._explainer = RayExplainer(explainer) if explainer is not None else None
        self._hosts: list[Host] = []
        self._backends = {name: self._backend(each, tasks[name]) for name, each in backends.items()}
        replica_has_started("Gateway")

    def __del__(self) -> None:
        """Called by Ray Serve when the replica is stopped."""
        for host in getattr(self, "_hosts", []):  # not there where its constructor has raised early
            host.close()

    def check_health(self) -> None:
        """Health check of Ray Serve, which replaces a replica whose check raises."""
        for host in self._hosts:
            host.check_health()

    def _backend(self, given: DeploymentHandle[Any] | Callable[[], Host], task: str) -> Backend:
        if isinstance(given, DeploymentHandle):
            return RayBackend(given, task)
        self._hosts.append(given())
        return LocalBackend(self._hosts[-1])

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Ray Serve once the replica is constructed."""
        settings = self._settings
        cache, store, traffic_store = None, None, None
        secret = settings.cache_secret.get_secret_value() if settings.cache_secret else None
        if settings.redis_url:
            redis = PipelinedRedis(settings.redis_url, settings.cache_timeout_s)
            store = RedisStore(settings.redis_url, redis, timeout_s=settings.cache_timeout_s, secret=secret)
            timeout_s = max(settings.cache_timeout_s, LEAST_PATIENCE_S)
            traffic_store = RedisTrafficStore(connect(settings.redis_url, timeout_s), stack_name(settings))
            if settings.cache_ttl_s:
                ttl_s, max_entry_bytes = settings.cache_ttl_s, settings.cache_max_entry_bytes
                cache = RedisCache(redis, ttl_s=ttl_s, max_entry_bytes=max_entry_bytes, secret=secret)
        registry = Registry(self._topology, self._backends, settings.max_queue_wait_s, open_plan_store(settings))
        app = create_app(settings, registry, cache, store, traffic_store, self._explainer, under_ray=True)
        self.grpc_front = app.state.grpc_front
        if token := read_token(settings.run_dir):
            app.add_middleware(StackCheck, token=token)  # pyright: ignore[reportArgumentType]  # a factory, too
        favour_the_event_loop()
        return app


def _check_node(settings: Settings) -> None:
    """Refuse to start on a cluster without the settings that gateways need there; `serve status` shows why.

    Raises:
        SettingsError: a setting is missing.
    """
    check_exposure(public_host(), settings)
    check_redis(node_address(), settings)
    if settings.run_dir is None and not is_loopback(node_address()):
        structlog.get_logger().warning(
            "this node was not started by `tapetum node`: HAProxy has no token, and metrics are those of one process"
        )
