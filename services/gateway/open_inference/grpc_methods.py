"""The methods that Ray Serve's gRPC server calls on the gateway, by their names in the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from services.gateway.open_inference.grpc_front import GrpcFront

Method = Callable[[Any, Any, Any], Awaitable[Any]]


def _method(name: str) -> Method:
    async def method(self: OpenInferenceMethods, request: Any, grpc_context: Any) -> Any:
        return await self.grpc_front.answer(name, request, grpc_context)

    method.__name__ = name
    return method


class OpenInferenceMethods:
    """Every method of `inference.GRPCInferenceService` and `grpc.health.v1.Health`.

    Ray Serve would answer a method that is missing here with a list of all methods. The parameter `grpc_context` has
    the name that Ray Serve looks for.

    Attributes:
        grpc_front: Handles the calls.
    """

    grpc_front: GrpcFront

    ServerLive = _method("ServerLive")
    ServerReady = _method("ServerReady")
    ModelReady = _method("ModelReady")
    ServerMetadata = _method("ServerMetadata")
    ModelMetadata = _method("ModelMetadata")
    ModelConfig = _method("ModelConfig")
    ModelStatistics = _method("ModelStatistics")
    ModelInfer = _method("ModelInfer")
    RepositoryIndex = _method("RepositoryIndex")
    RepositoryModelLoad = _method("RepositoryModelLoad")
    RepositoryModelUnload = _method("RepositoryModelUnload")
    SystemSharedMemoryStatus = _method("SystemSharedMemoryStatus")
    SystemSharedMemoryRegister = _method("SystemSharedMemoryRegister")
    SystemSharedMemoryUnregister = _method("SystemSharedMemoryUnregister")
    CudaSharedMemoryStatus = _method("CudaSharedMemoryStatus")
    CudaSharedMemoryRegister = _method("CudaSharedMemoryRegister")
    CudaSharedMemoryUnregister = _method("CudaSharedMemoryUnregister")
    TraceSetting = _method("TraceSetting")
    LogSettings = _method("LogSettings")
    Check = _method("Check")

    async def ModelStreamInfer(self, request_iterator: Any, grpc_context: Any) -> AsyncGenerator[Any]:
        """A stream of requests for inference."""
        async for response in self.grpc_front.stream(request_iterator, grpc_context):
            yield response

    async def Watch(self, request: Any, grpc_context: Any) -> AsyncGenerator[Any]:
        """The health of the server, and each change of it."""
        async for response in self.grpc_front.watch(request, grpc_context):
            yield response
