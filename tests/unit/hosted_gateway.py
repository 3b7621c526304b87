"""A gateway on loopback, and behind it real model hosts in the same process, without Ray between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from services.answers.wire import Item, Outcome
from services.deployments.host import ModelHost
from services.gateway.app import create_app
from services.gateway.open_inference.grpc_methods import OpenInferenceMethods
from services.gateway.serving.registry import Registry
from services.grpc_services import add_services
from services.settings import Settings, read_settings
from services.topology import check_topology
from tests.unit.gateway_fakes import MemoryCache
from tests.unit.serving import serving_grpc


class HostBackend:
    """Calls a model host, and counts the images."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host
        self.images = 0

    async def predict(self, items: list[Item]) -> Sequence[Outcome]:
        self.images += len(items)
        return await self._host.predict(items)

    async def describe(self) -> list[dict[str, Any]]:
        return self._host.describe()

    def close(self) -> None:
        self._host.close()


@dataclass(frozen=True)
class HostedGateway:
    """A gateway, and what is behind it.

    Attributes:
        url: Its address.
        grpc_port: Of its gRPC services, on loopback.
        backends: By name of the deployment.
        cache: Its result cache.
        registry: Its models.
    """

    url: str
    grpc_port: int
    backends: Mapping[str, HostBackend]
    cache: MemoryCache
    registry: Registry

    @property
    def grpc_address(self) -> str:
        """Host and port of its gRPC services."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")


@contextmanager
def hosted_gateway(
    deployments: Sequence[Mapping[str, Any]], settings: Settings | None = None
) -> Iterator[HostedGateway]:
    """Start the hosts of some deployments, and a gateway for them.

    Args:
        deployments: As in the configuration.
        settings: Of the gateway.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        read_settings.cache_clear()
        topology = check_topology({"deployments": list(deployments)})
        backends = {one.name: HostBackend(ModelHost(one.model_dump())) for one in topology.deployments}
        cache, registry = MemoryCache(), Registry(topology, backends)
        asyncio.run(registry.readiness())
        app, methods = create_app(settings or Settings(), registry, cache), OpenInferenceMethods()
        methods.grpc_front = app.state.grpc_front
        with serving_grpc(app, lambda server: add_services(methods, server)) as (url, grpc_port):
            yield HostedGateway(url, grpc_port, backends, cache, registry)
        for backend in backends.values():
            backend.close()
    read_settings.cache_clear()
