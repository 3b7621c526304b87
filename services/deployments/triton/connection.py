"""A connection to a Triton server: gRPC on an event loop in a thread of its own, for callers in other threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from tritonclient.grpc.aio import InferenceServerClient

from services.model_deployment import TritonOptions

T = TypeVar("T")

_NO_LIMIT: Final = -1
_CHANNEL: Final = (
    ("grpc.max_send_message_length", _NO_LIMIT),
    ("grpc.max_receive_message_length", _NO_LIMIT),
    # gRPC waits up to two minutes before it connects again; the circuit breaker has pauses already.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A server that vanishes without closing its connections is noticed, also between calls.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)


class TritonConnection:
    """One gRPC channel, which all models of a replica share; batches of several threads are in flight at once.

    Args:
        options: Address, TLS and time limits.

    Attributes:
        options: The same.
        client: Use it on the event loop only, from coroutines that `run` or `start` are given.

    Raises:
        OSError: A certificate file cannot be read.
    """

    def __init__(self, options: TritonOptions) -> None:
        self.options = options
        self._loop = asyncio.new_event_loop()
        self._tasks: set[Future[Any]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="triton", daemon=True)
        self._thread.start()
        self.client = self.run(self._connect())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the event loop; returns its result to the calling thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        """Starts a coroutine on the event loop; cancelling the future cancels it, and so does `close`."""
        task = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Cancels what runs, and closes the channel."""
        for task in list(self._tasks):
            task.cancel()
        self.run(self.client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connect(self) -> InferenceServerClient:
        """The client belongs to the event loop that it is made on."""
        options = self.options
        return InferenceServerClient(
            options.url,
            ssl=options.ssl,
            root_certificates=options.root_certificates,
            private_key=options.private_key,
            certificate_chain=options.certificate_chain,
            channel_args=list(_CHANNEL),
        )
