"""The Open Inference Protocol over gRPC, and gRPC's own health checks."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import ParseDict

from services.errors import NotReady, ServiceNotFound, Unimplemented
from services.gateway.access import Access
from services.gateway.bodies import Bodies
from services.gateway.limits import read_timeout
from services.gateway.middleware import make_request_id
from services.gateway.open_inference.descriptions import model_config, model_metadata, server_metadata
from services.gateway.open_inference.grpc_messages import parse_request, write_response
from services.gateway.open_inference.grpc_status import end_with, status_of
from services.gateway.open_inference.grpc_timeout import GRPC_TIMEOUT, read_grpc_timeout
from services.gateway.open_inference.inference import Inference
from services.gateway.open_inference.protobuf import config_pb, health_pb, pb
from services.gateway.open_inference.repository import Repository, full_name
from services.gateway.open_inference.statistics import statistics
from services.gateway.serving.predictor import CachePolicy
from services.gateway.serving.request_path import Caller
from services.machine.stack_token import TOKEN_HEADER
from services.settings import Settings

PIPELINE: Final = 16
"""Requests of one stream that are worked on at a time."""

HEALTH_INTERVAL_S: Final = 1.0
"""Seconds between two looks at the readiness, for a client that watches it."""

SERVICE: Final = "inference.GRPCInferenceService"

PROBES: Final = frozenset({"ServerLive", "ServerReady", "Check", "Watch"})
"""Methods that may require no key."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a client.

    Attributes:
        metadata: By lower-case name.
        caller: The client.
    """

    metadata: Mapping[str, str]
    caller: Caller


@dataclass(frozen=True, slots=True)
class GrpcFront:
    """Handles the calls of the protocol.

    Attributes:
        inference: Handles requests for inference.
        repository: The served models.
        settings: Time limits and caps.
        bodies: Counts the bytes of requests.
        access: Lets clients in.
        token: Of the stack, which HAProxy puts into every call; None: no HAProxy is before this server.
    """

    inference: Inference
    repository: Repository
    settings: Settings
    bodies: Bodies
    access: Access
    token: str | None = None

    async def answer(self, method: str, request: Any, context: Any) -> Any:
        """Handle a call with one response.

        Args:
            method: Name of the method.
            request: Its message.
            context: Of the call.

        Returns:
            The response; an empty one after an error, whose status is in the context.
        """
        handle, response = _METHODS[method]
        try:
            call = await self._let_in(method, context)
            return await handle(self, request, call)
        except Exception as error:
            end_with(context, error)
            return response()

    async def stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncGenerator[Any]:
        """Handle a stream of requests for inference: a response or an error for each, in their order.

        A client that does not read its responses is not read from either, once `PIPELINE` requests are in progress.

        Args:
            requests: From the client.
            context: Of the call.
        """
        try:
            call = await self._let_in("ModelStreamInfer", context)
        except Exception as error:
            end_with(context, error)
            return
        in_order: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(PIPELINE - 1)
        tasks: set[asyncio.Task[Any]] = set()

        async def read() -> None:
            try:
                async for request in requests:
                    task = asyncio.create_task(self._answer_in_stream(request, call))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    await in_order.put(task)
            finally:
                await in_order.put(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await in_order.get()) is not None:
                yield await task
            await reader
        finally:
            for running in (reader, *tasks):
                running.cancel()

    async def _answer_in_stream(self, request: Any, call: Call) -> Any:
        try:
            return pb.ModelStreamInferResponse(infer_response=await self.infer(request, call))
        except Exception as error:
            _, message = status_of(error)
            failed = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
            return pb.ModelStreamInferResponse(error_message=message or "failed", infer_response=failed)

    async def watch(self, request: Any, context: Any) -> AsyncGenerator[Any]:
        """Report the readiness of the server, and each change of it, until the client leaves."""
        try:
            await self._let_in("Watch", context)
        except Exception as error:
            end_with(context, error)
            return
        last = None
        while True:
            response = await self._health(request.service)
            if response != last:
                yield response
            last = response
            await asyncio.sleep(HEALTH_INTERVAL_S)

    async def infer(self, request: Any, call: Call) -> Any:
        """Predict the images of a request.

        Raises:
            ServiceError: the request is invalid, or an image failed.
        """
        policy = CachePolicy.of(call.metadata.get("cache-control", ""))
        async with self.inference.path.open(call.caller, lambda: self._timeout_s(call.metadata)) as opened:
            opened.task = self.repository.find(request.model_name, request.model_version).task
            with self.bodies.hold(size := request.ByteSize()):
                name = full_name(request.model_name, request.model_version)
                sent = await self.inference.work(lambda: parse_request(request, size), size, opened.limit)
                return write_response(await self.inference.infer(opened, call.caller, name, sent, policy))

    def _timeout_s(self, metadata: Mapping[str, str]) -> float:
        of_call = read_grpc_timeout(metadata.get(GRPC_TIMEOUT, ""))
        limit = read_timeout(metadata, self.settings)
        if of_call is None:
            return limit
        cap = limit if "x-request-timeout" in metadata else self.settings.max_request_timeout_s
        return min(of_call, cap)

    async def _let_in(self, method: str, context: Any) -> Call:
        metadata = {key.lower(): value for key, value in context.invocation_metadata() if isinstance(value, str)}
        if self.token is not None and not _is_equal(metadata.get(TOKEN_HEADER.lower(), ""), self.token):
            raise NotReady("this gateway belongs to another stack")
        tenant = ""
        if not (method in PROBES and self.access.open_probes):
            address = metadata.get("x-forwarded-for") or context.peer()
            tenant = await self.access.check(metadata, address, is_counted=method not in PROBES)
        return Call(metadata, Caller(tenant, make_request_id(metadata.get("x-request-id"))))

    async def _health(self, service: str) -> Any:
        if service not in ("", SERVICE):
            return health_pb.HealthCheckResponse(status="SERVICE_UNKNOWN")
        return health_pb.HealthCheckResponse(status="SERVING" if await self.repository.is_ready() else "NOT_SERVING")

    async def check(self, request: Any, _: Call) -> Any:
        """Readiness of the server, as gRPC's health protocol has it."""
        response = await self._health(request.service)
        if response.status == health_pb.HealthCheckResponse.SERVICE_UNKNOWN:
            raise ServiceNotFound(f"there is no service {request.service[:80]!r} here")
        return response

    async def live(self, _: Any, __: Call) -> Any:
        """Liveness of the server."""
        return pb.ServerLiveResponse(live=True)

    async def ready(self, _: Any, __: Call) -> Any:
        """Readiness of the server: whether every configured model is ready."""
        return pb.ServerReadyResponse(ready=await self.repository.is_ready())

    async def model_ready(self, request: Any, _: Call) -> Any:
        """Readiness of a model."""
        try:
            await self.repository.check_ready(request.name, request.version)
        except NotReady:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def server(self, _: Any, __: Call) -> Any:
        """Name, version and extensions of the server."""
        return ParseDict(server_metadata(), pb.ServerMetadataResponse())

    async def metadata(self, request: Any, _: Call) -> Any:
        """Inputs and outputs of a model."""
        model = self.repository.find(request.name, request.version)
        return ParseDict(model_metadata(model, self.repository.all_versions(model)), pb.ModelMetadataResponse())

    async def config(self, request: Any, _: Call) -> Any:
        """Configuration of a model."""
        config = model_config(self.repository.find(request.name, request.version))
        return pb.ModelConfigResponse(config=ParseDict(config, config_pb.ModelConfig()))

    async def statistics(self, request: Any, _: Call) -> Any:
        """Statistics of one model or all."""
        models = self.repository.select(request.name, request.version)
        return ParseDict(await asyncio.to_thread(statistics, models), pb.ModelStatisticsResponse())

    async def index(self, request: Any, _: Call) -> Any:
        """The models and their states."""
        entries = await self.repository.index(ready_only=request.ready)
        return ParseDict({"models": entries}, pb.RepositoryIndexResponse())

    async def load(self, request: Any, call: Call) -> Any:
        """Load a version of a model."""
        await self.repository.load(request.model_name, is_admin=self.access.keys.is_admin(call.metadata))
        return pb.RepositoryModelLoadResponse()

    async def unload(self, request: Any, call: Call) -> Any:
        """Unload a version of a model."""
        await self.repository.unload(request.model_name, is_admin=self.access.keys.is_admin(call.metadata))
        return pb.RepositoryModelUnloadResponse()


def _is_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode())


async def _refuse(_: GrpcFront, __: Any, ___: Call) -> Any:
    raise Unimplemented("this server has no shared memory, traces and log settings for clients")


Handler = Callable[[GrpcFront, Any, Call], Awaitable[Any]]

_METHODS: Final[Mapping[str, tuple[Handler, Callable[[], Any]]]] = {
    "ServerLive": (GrpcFront.live, pb.ServerLiveResponse),
    "ServerReady": (GrpcFront.ready, pb.ServerReadyResponse),
    "ModelReady": (GrpcFront.model_ready, pb.ModelReadyResponse),
    "ServerMetadata": (GrpcFront.server, pb.ServerMetadataResponse),
    "ModelMetadata": (GrpcFront.metadata, pb.ModelMetadataResponse),
    "ModelConfig": (GrpcFront.config, pb.ModelConfigResponse),
    "ModelStatistics": (GrpcFront.statistics, pb.ModelStatisticsResponse),
    "ModelInfer": (GrpcFront.infer, pb.ModelInferResponse),
    "RepositoryIndex": (GrpcFront.index, pb.RepositoryIndexResponse),
    "Check": (GrpcFront.check, health_pb.HealthCheckResponse),
    "RepositoryModelLoad": (GrpcFront.load, pb.RepositoryModelLoadResponse),
    "RepositoryModelUnload": (GrpcFront.unload, pb.RepositoryModelUnloadResponse),
    "SystemSharedMemoryStatus": (_refuse, pb.SystemSharedMemoryStatusResponse),
    "SystemSharedMemoryRegister": (_refuse, pb.SystemSharedMemoryRegisterResponse),
    "SystemSharedMemoryUnregister": (_refuse, pb.SystemSharedMemoryUnregisterResponse),
    "CudaSharedMemoryStatus": (_refuse, pb.CudaSharedMemoryStatusResponse),
    "CudaSharedMemoryRegister": (_refuse, pb.CudaSharedMemoryRegisterResponse),
    "CudaSharedMemoryUnregister": (_refuse, pb.CudaSharedMemoryUnregisterResponse),
    "TraceSetting": (_refuse, pb.TraceSettingResponse),
    "LogSettings": (_refuse, pb.LogSettingsResponse),
}
"""By name of a method with one response: its handler, and the type of the response."""
