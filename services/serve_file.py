"""A whole Serve configuration file: the ports of a stack, and the topology of its application.

`tapetum serve`, Ray Serve's `serve deploy` and KubeRay read the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.sources.text_documents import DocumentError
from models.sources.yaml_documents import read_yaml
from services.configuration import Strict, TopologyError, validate
from services.topology import Topology


class HttpOptions(Strict):
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    keep_alive_timeout_s: int = Field(default=65, ge=1)


GRPC_SERVICES: Final = "services.grpc_services:add_services"
"""The gRPC services of the gateway, as Ray Serve imports them."""


class GrpcOptions(Strict):
    port: int = Field(default=8001, ge=1, le=65535)
    grpc_servicer_functions: tuple[Literal["services.grpc_services:add_services"]] = (GRPC_SERVICES,)
    enable_reflection: bool = True


class ServedApplication(Strict):
    name: str = "tapetum"
    route_prefix: Literal["/"] = "/"
    import_path: Literal["services.app:build"] = "services.app:build"
    args: Topology
    runtime_env: dict[str, Any] = Field(default={})
    logging_config: dict[str, Any] | None = None


class ServeFile(BaseModel):
    """A whole Serve configuration file, as Ray Serve and KubeRay read it too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    proxy_location: Literal["HeadOnly", "EveryNode"] = "EveryNode"
    http_options: HttpOptions = HttpOptions()
    grpc_options: GrpcOptions | None = None
    logging_config: dict[str, Any] | None = None
    target_capacity: float | None = Field(default=None, ge=0, le=100)
    applications: tuple[ServedApplication] = Field(description="Exactly one.")

    def listening_at(self, host: str | None, port: int | None, grpc_port: int | None = None) -> ServeFile:
        """The same with another public address; None leaves what the file says.

        Args:
            host: Address.
            port: Of HTTP; where the file has a gRPC port, that becomes the next one unless it is given, too.
            grpc_port: Of gRPC; 0: none.

        Raises:
            TopologyError: both ports are one, or there is no next one.
        """
        given: dict[str, Any] = {"host": host, "port": port}
        changed = {name: value for name, value in given.items() if value is not None}
        http = self.http_options.model_copy(update=changed)
        grpc = self.grpc_options
        if grpc_port is None and port is not None and grpc is not None:
            grpc_port = port + 1
        if grpc_port is not None:
            grpc = (grpc or GrpcOptions()).model_copy(update={"port": grpc_port}) if grpc_port else None
        if grpc is not None and (grpc.port == http.port or grpc.port > 65535):
            raise TopologyError(f"gRPC needs a port of its own, and {grpc.port} is not one: choose another --grpc-port")
        return self.model_copy(update={"http_options": http, "grpc_options": grpc})

    def with_topology(self, topology: Topology) -> ServeFile:
        """The same with another topology."""
        application = self.applications[0].model_copy(update={"args": topology})
        return self.model_copy(update={"applications": (application,)})

    def to_document(self) -> dict[str, Any]:
        """What Ray Serve's HTTP API takes: all that the file or this class says, and nothing that is unset."""
        document = self.model_dump(mode="json", exclude_none=True)
        args = self.topology.model_dump(mode="json", exclude_unset=True)
        return {**document, "applications": [{**document["applications"][0], "args": args}]}

    def for_clusters(self) -> list[str]:
        """Names of keys that are set and have a meaning on clusters alone."""
        given = {
            "runtime_env": self.applications[0].runtime_env,
            "logging_config": self.logging_config or self.applications[0].logging_config,
            "target_capacity": self.target_capacity,
        }
        return [name for name, value in given.items() if value not in (None, {})]

    @property
    def topology(self) -> Topology:
        return self.applications[0].args


def read_serve_file(path: Path) -> ServeFile:
    """Read and check a Serve configuration file.

    Raises:
        TopologyError: the file is missing, is not YAML, or holds a key that is wrong; the message names it.
    """
    try:
        document = read_yaml(path)
    except DocumentError as error:
        raise TopologyError(str(error)) from None
    return validate(ServeFile, document, str(path))
