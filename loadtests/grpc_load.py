"""The closed-loop load generator over gRPC: as many calls in flight on one channel as there would be connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from loadtests.connection import Caller
from loadtests.http_response import Response
from loadtests.load import Load
from loadtests.load_plan import LoadPlan, LoadResult
from loadtests.tensor_requests import GRPC_METHOD


class GrpcLoad(Load):
    """One run of a plan, over gRPC.

    Args:
        plan: What to do; its headers are the metadata of each call.
    """

    def __init__(self, plan: LoadPlan) -> None:
        super().__init__(plan)
        self._address = f"{plan.host}:{plan.port}"
        self._metadata = tuple((name.lower(), value) for name, value in plan.headers.items())

    async def run(self) -> LoadResult:
        """See `Load.run`."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(self._address, options) as self._channel:
            self._infer: Any = self._channel.unary_unary(GRPC_METHOD)
            return await super().run()

    async def _connect(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._channel.channel_ready()
        self.opened(Calls(self, lambda message: self._infer(message, metadata=self._metadata)))


class Calls:
    """A sequence of calls, of which one at a time is in flight: what a `Connection` is over HTTP.

    Args:
        caller: Takes the responses.
        call: Starts a call with a serialized message.

    Attributes:
        is_waiting: Whether a call is in flight.
        is_open: Whether another call can be made.
        sent_at: When the latest call began, on the clock of `time.perf_counter`.
    """

    def __init__(self, caller: Caller, call: Callable[[bytes], Any]) -> None:
        self.is_waiting = False
        self.is_open = True
        self.sent_at = 0.0
        self._caller = caller
        self._call = call
        self._task: asyncio.Task[None] | None = None

    def send(self, request: Sequence[bytes]) -> None:
        """Start a call, given the pieces of its message; none may be in flight."""
        self.is_waiting = True
        self.sent_at = time.perf_counter()
        self._task = asyncio.get_running_loop().create_task(self._finish(b"".join(request)))

    async def _finish(self, message: bytes) -> None:
        try:
            response = Response(200, await self._call(message), True)
        except grpc.aio.AioRpcError as error:
            self.is_waiting = False
            self._caller.failed(self, error.code().name, error.details() or "")
            self.close()
            self._caller.lost(self)
            return
        self.is_waiting = False
        self._caller.answered(self, response)

    def close(self) -> None:
        """Make no more calls; one in flight is given up."""
        self.is_open = False
        if self.is_waiting and self._task is not None:
            self.is_waiting = False
            self._task.cancel()
