"""The gRPC services of the gateway, for `grpc_servicer_functions` of Ray Serve's `grpc_options`.

Ray's proxies and replicas import this module by name and register the services by its function; the methods are those
of the gateway (`services.gateway.open_inference.grpc_methods`).
"""

from __future__ import annotations

from typing import Any


def add_services(servicer: Any, server: Any) -> None:
    """Register the Open Inference Protocol and gRPC's health checks at a server.

    Methods get requests as bytes, and parse them: gRPC itself ends a call whose message it cannot parse with UNKNOWN,
    the text of the exception, and a traceback in the log.
    """
    from grpc_health.v1 import health_pb2
    from tritonclient.grpc import service_pb2

    for file, name in ((service_pb2, "GRPCInferenceService"), (health_pb2, "Health")):
        _add_service(servicer, server, file.DESCRIPTOR.services_by_name[name])


def _add_service(servicer: Any, server: Any, service: Any) -> None:
    import grpc

    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    handlers = {
        method.name: kinds[method.client_streaming, method.server_streaming](
            getattr(servicer, method.name), response_serializer=_to_bytes
        )
        for method in service.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    server.add_registered_method_handlers(service.full_name, handlers)


def _to_bytes(message: Any) -> bytes:
    return message.SerializeToString()
