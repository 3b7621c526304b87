"""The gRPC services of the gateway, for `grpc_servicer_functions` of Ray Serve's `grpc_options`.

Ray's proxies and replicas import this module by name and register the services by its function; the methods are those
of the gateway (`services.gateway.open_inference.grpc_methods`).
"""

from __future__ import annotations

from typing import Any, Final

ADD_SERVICES: Final = "services.grpc_services:add_services"
"""The function below, as Ray Serve imports it."""


def add_services(servicer: Any, server: Any) -> None:
    """Register the Open Inference Protocol and gRPC's health checks at a server."""
    from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
    from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    add_HealthServicer_to_server(servicer, server)
