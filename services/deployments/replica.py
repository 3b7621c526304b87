"""The Ray Serve deployment of models, for all tasks.

Importing this module does not load torch: `tapetum serve` and the gateways import the application, and only a process
that hosts models needs the libraries that run networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray import serve

from services.machine.loopback import fence_replica_grpc

if TYPE_CHECKING:
    from services.answers.wire import Item, Outcome
    from services.deployments.host import ModelHost


def start_host(config: dict[str, Any], plans: list[dict[str, Any]]) -> ModelHost:
    """Load the models of one deployment in this process: a replica of their own, or of the gateway.

    Args:
        config: See `services.deployments.host.ModelHost`.
        plans: Likewise.
    """
    from services.deployments.torchvision_import import import_torchvision

    import_torchvision()
    from services.deployments.host import ModelHost

    return ModelHost(config, plans=plans)


@serve.deployment()
class ModelReplica:
    """Hosts the models of one deployment of the configuration.

    Args:
        config: See `services.deployments.host.ModelHost`.
        plans: Likewise.
    """

    def __init__(self, config: dict[str, Any], plans: list[dict[str, Any]]) -> None:
        fence_replica_grpc()
        self._host = start_host(config, plans)

    def __del__(self) -> None:
        """Called by Ray Serve when the replica is stopped."""
        if hasattr(self, "_host"):  # else its constructor has raised
            self._host.close()

    async def predict(self, items: list[Item]) -> list[Outcome]:
        """See `ModelHost.predict`."""
        return await self._host.predict(items)

    def describe(self) -> list[dict[str, Any]]:
        """See `ModelHost.describe`."""
        return self._host.describe()

    def check_health(self) -> None:
        """See `ModelHost.check_health`."""
        self._host.check_health()
