"""The Open Inference Protocol over gRPC, and gRPC's own health checks."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from google.protobuf.json_format import ParseDict

from services.errors import ModelNotFound, NotReady, ServiceNotFound, Unimplemented
from services.gateway.access import Access
from services.gateway.bodies import Bodies
from services.gateway.byte_budget import ByteBudget, Share
from services.gateway.limits import read_timeout
from services.gateway.middleware import make_request_id
from services.gateway.open_inference.descriptions import model_config, model_metadata, server_metadata
from services.gateway.open_inference.grpc_messages import parse_request, write_response
from services.gateway.open_inference.grpc_requests import parse_infer_request, parse_message
from services.gateway.open_inference.grpc_status import end_with, status_of
from services.gateway.open_inference.grpc_timeout import GRPC_TIMEOUT, read_grpc_timeout
from services.gateway.open_inference.inference import Inference
from services.gateway.open_inference.messages import MAX_ID, MAX_NAME
from services.gateway.open_inference.protobuf import config_pb, health_pb, pb
from services.gateway.open_inference.repository import Repository, full_name
from services.gateway.open_inference.statistics import statistics
from services.gateway.serving.predictor import CachePolicy
from services.gateway.serving.request_path import Caller
from services.machine.stack_token import TOKEN_HEADER
from services.settings import Settings

log = structlog.get_logger()

PIPELINE: Final = 16
"""Requests of one stream that are worked on at a time."""

HEALTH_INTERVAL_S: Final = 1.0
"""Seconds between two looks at the readiness, for a client that watches it."""

FINAL_RESPONSE: Final = "triton_final_response"
"""Parameter of a response in a stream: whether it is the last one to its request, as each is here."""

SERVICE: Final = "inference.GRPCInferenceService"

PROBES: Final = frozenset({"ServerLive", "ServerReady", "Check", "Watch"})
"""Methods that may require no key."""

_UNCOUNTED: Final = PROBES | {"ModelStreamInfer"}
"""Methods whose calls do not count towards the rate limit; of a stream each request does."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a client.

    Attributes:
        metadata: By lower-case name.
        caller: The client.
        address: Of the client.
    """

    metadata: Mapping[str, str]
    caller: Caller
    address: str


@dataclass(frozen=True, slots=True)
class GrpcFront:
    """Handles the calls of the protocol.

    Attributes:
        inference: Handles requests for inference.
        repository: The served models.
        settings: Time limits and caps.
        bodies: Counts the bytes of requests.
        answers: Counts the bytes of responses of streams that their clients have not read.
        access: Lets clients in.
        token: Of the stack, which HAProxy puts into every call; None: no HAProxy is before this server.
    """

    inference: Inference
    repository: Repository
    settings: Settings
    bodies: Bodies
    answers: ByteBudget
    access: Access
    token: str | None = None

    async def answer(self, method: str, data: bytes, context: Any) -> Any:
        """Handle a call with one response.

        Args:
            method: Name of the method.
            data: Its message.
            context: Of the call.

        Returns:
            The response; an empty one after an error, whose status is in the context.
        """
        handle, request, response = _METHODS[method]
        try:
            call = await self._let_in(method, context)
            return await handle(self, data if request is None else parse_message(request(), data), call)
        except Exception as error:
            end_with(context, error)
            return response()

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncGenerator[Any]:
        """Handle a stream of requests for inference: a response or an error for each, in their order.

        A client that does not read its responses is not read from either, once `PIPELINE` requests are in progress.

        Args:
            requests: Messages of the client.
            context: Of the call.
        """
        try:
            call = await self._let_in("ModelStreamInfer", context)
        except Exception as error:
            end_with(context, error)
            return
        in_order: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
        unread: dict[asyncio.Task[Any], Share] = {}
        places = asyncio.Semaphore(PIPELINE)

        async def read() -> None:
            try:
                async for data in requests:
                    await places.acquire()
                    share = Share(self.answers)
                    task = asyncio.create_task(self._answer_in_stream(data, call, share))
                    unread[task] = share
                    in_order.put_nowait(task)
            except Exception as error:  # the client is gone, or has sent a message above the limit
                log.info("a stream broke off", reason=type(error).__name__)
            finally:
                in_order.put_nowait(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await in_order.get()) is not None:
                yield await task
                unread.pop(task).close()
                places.release()
        finally:
            reader.cancel()
            for task, share in unread.items():
                task.cancel()
                share.close()

    async def _answer_in_stream(self, data: bytes, call: Call, share: Share) -> Any:
        request = pb.ModelInferRequest()
        try:
            await self.access.count(call.caller.tenant, call.address)
            response = await self.infer(request, data, call)
            response.parameters[FINAL_RESPONSE].bool_param = True
            share.hold(response.ByteSize())
            return pb.ModelStreamInferResponse(infer_response=response)
        except Exception as error:
            _, message = status_of(error)
            failed = pb.ModelInferResponse(model_name=request.model_name[:MAX_NAME], id=request.id[:MAX_ID])
            return pb.ModelStreamInferResponse(error_message=message or "failed", infer_response=failed)

    async def watch(self, data: bytes, context: Any) -> AsyncGenerator[Any]:
        """Report the readiness of the server, and each change of it, until the client leaves."""
        try:
            await self._let_in("Watch", context)
            request = parse_message(health_pb.HealthCheckRequest(), data)
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

    async def infer(self, request: Any, data: bytes, call: Call) -> Any:
        """Predict the images of a request.

        Args:
            request: An empty message, which takes the request.
            data: The request as it arrived.
            call: The call.

        Raises:
            ServiceError: the request is invalid, or an image failed.
        """
        policy = CachePolicy.of(call.metadata.get("cache-control", ""))
        async with self.inference.path.open(call.caller, lambda: self._timeout_s(call.metadata)) as opened:
            with self.bodies.hold(size := len(data)):
                parse_infer_request(request, data)
                name = full_name(request.model_name, request.model_version)
                opened.task = self.repository.find(name).task
                sent = await self.inference.work(lambda: parse_request(request, size), size, opened.limit)
                found = await self.inference.infer(opened, call.caller, name, sent, policy)
                return await self.inference.work(lambda: write_response(found), found.size, opened.limit)

    async def infer_once(self, data: bytes, call: Call) -> Any:
        """Predict the images of a request that is not part of a stream."""
        return await self.infer(pb.ModelInferRequest(), data, call)

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
        tenant, address = "", metadata.get("x-forwarded-for") or context.peer()
        if not (method in PROBES and self.access.open_probes):
            tenant = await self.access.check(metadata, address, is_counted=method not in _UNCOUNTED)
        return Call(metadata, Caller(tenant, make_request_id(metadata.get("x-request-id"))), address)

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
        """Readiness of a model; one that is unknown is not ready."""
        try:
            await self.repository.check_ready(request.name, request.version)
        except (NotReady, ModelNotFound):
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
        is_admin = self.access.keys.is_admin(call.metadata)
        await self.repository.load(request.model_name, request.parameters, is_admin=is_admin)
        return pb.RepositoryModelLoadResponse()

    async def unload(self, request: Any, call: Call) -> Any:
        """Unload a version of a model."""
        is_admin = self.access.keys.is_admin(call.metadata)
        await self.repository.unload(request.model_name, request.parameters, is_admin=is_admin)
        return pb.RepositoryModelUnloadResponse()


def _is_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode())


async def _refuse(_: GrpcFront, __: Any, ___: Call) -> Any:
    raise Unimplemented("this server has no shared memory, traces and log settings for clients")


Handler = Callable[[GrpcFront, Any, Call], Awaitable[Any]]

_METHODS: Final[Mapping[str, tuple[Handler, Callable[[], Any] | None, Callable[[], Any]]]] = {
    "ServerLive": (GrpcFront.live, pb.ServerLiveRequest, pb.ServerLiveResponse),
    "ServerReady": (GrpcFront.ready, pb.ServerReadyRequest, pb.ServerReadyResponse),
    "ModelReady": (GrpcFront.model_ready, pb.ModelReadyRequest, pb.ModelReadyResponse),
    "ServerMetadata": (GrpcFront.server, pb.ServerMetadataRequest, pb.ServerMetadataResponse),
    "ModelMetadata": (GrpcFront.metadata, pb.ModelMetadataRequest, pb.ModelMetadataResponse),
    "ModelConfig": (GrpcFront.config, pb.ModelConfigRequest, pb.ModelConfigResponse),
    "ModelStatistics": (GrpcFront.statistics, pb.ModelStatisticsRequest, pb.ModelStatisticsResponse),
    "ModelInfer": (GrpcFront.infer_once, None, pb.ModelInferResponse),
    "RepositoryIndex": (GrpcFront.index, pb.RepositoryIndexRequest, pb.RepositoryIndexResponse),
    "Check": (GrpcFront.check, health_pb.HealthCheckRequest, health_pb.HealthCheckResponse),
    "RepositoryModelLoad": (GrpcFront.load, pb.RepositoryModelLoadRequest, pb.RepositoryModelLoadResponse),
    "RepositoryModelUnload": (GrpcFront.unload, pb.RepositoryModelUnloadRequest, pb.RepositoryModelUnloadResponse),
    "SystemSharedMemoryStatus": (_refuse, None, pb.SystemSharedMemoryStatusResponse),
    "SystemSharedMemoryRegister": (_refuse, None, pb.SystemSharedMemoryRegisterResponse),
    "SystemSharedMemoryUnregister": (_refuse, None, pb.SystemSharedMemoryUnregisterResponse),
    "CudaSharedMemoryStatus": (_refuse, None, pb.CudaSharedMemoryStatusResponse),
    "CudaSharedMemoryRegister": (_refuse, None, pb.CudaSharedMemoryRegisterResponse),
    "CudaSharedMemoryUnregister": (_refuse, None, pb.CudaSharedMemoryUnregisterResponse),
    "TraceSetting": (_refuse, None, pb.TraceSettingResponse),
    "LogSettings": (_refuse, None, pb.LogSettingsResponse),
}
"""By name of a method with one response: its handler, and the types of request (None: as bytes) and response."""
