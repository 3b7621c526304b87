"""The runtimes of a deployment's models: networks run in the replica, or at a Triton server."""

from __future__ import annotations

from models.catalog.lookup import find
from models.runtime import Runtime
from services.deployments.triton.connection import TritonConnection
from services.deployments.triton.remote_model import RemoteModel
from services.deployments.triton.runtime import TritonRuntime
from services.model_deployment import ModelDeployment, ModelSpec


class Runtimes:
    """Makes the runtime that a model is loaded with.

    Args:
        config: The deployment.
    """

    def __init__(self, config: ModelDeployment) -> None:
        self._config = config
        self._connection = TritonConnection(config.triton) if config.triton else None

    def of(self, name: str, spec: ModelSpec) -> Runtime:
        """The runtime of a model.

        Args:
            name: Name of the model, with its version.
            spec: What the configuration says of the model.
        """
        if self._connection is not None:
            entry = find(name)
            labels = (entry.task, entry.name, entry.version)
            remote = RemoteModel(self._connection, entry.name, spec.at_server(entry), labels)
            return TritonRuntime(precision="fp32", fuse=self._config.fuse, backend="torch", remote=remote)
        return self._config.runtime_of(spec)

    def close(self) -> None:
        """Closes the connection to the server, if there is one."""
        if self._connection is not None:
            self._connection.close()
