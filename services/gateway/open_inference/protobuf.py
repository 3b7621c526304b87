"""The protocol buffers of the protocol and of gRPC's health checks, which come without types.

Attributes:
    pb: `inference.GRPCInferenceService` and its messages.
    config_pb: Configurations of models.
    health_pb: `grpc.health.v1.Health` and its messages.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

pb: Any = import_module("tritonclient.grpc.service_pb2")
config_pb: Any = import_module("tritonclient.grpc.model_config_pb2")
health_pb: Any = import_module("grpc_health.v1.health_pb2")
