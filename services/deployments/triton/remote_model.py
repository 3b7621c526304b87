"""One model at a Triton server: whether it is ready and the right one, and a circuit breaker for its batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

from models.export.naming import ServerModel
from services.breaker import Breaker
from services.deployments.triton.calls import Arrays, ServerCalls, ServerTooSlow, ServerUnavailable
from services.deployments.triton.connection import TritonConnection
from services.deployments.triton.signature import ServerMismatch, Signature
from services.errors import BackendFailed, NotReady, ServiceError
from services.telemetry import TRITON_CALLS

log = structlog.get_logger()

_TICK_S: Final = 0.05


@dataclass(frozen=True, eq=False)
class Reference:
    """A test image, and the outputs of the network here that those of the server are compared with.

    Attributes:
        pixels: (1, H, W, 3) uint8.
        outputs: Each (1, …) float32.
        normalise: Converts (N, H, W, 3) uint8 pixels to the (N, 3, H, W) float32 input of the network.
    """

    pixels: NDArray[np.uint8]
    outputs: Arrays
    normalise: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class RemoteModel:
    """A model at a Triton server.

    It is ready once the server has returned the outputs of the network here for a test image. A failure of the server
    or of the whole model opens the circuit: requests are refused at once, until the server has passed the check again,
    which is repeated in the background.

    Args:
        connection: To the server.
        name: Name of the model in the catalog.
        place: Name and version at the server.
        labels: Task, model and version, of the metrics.
    """

    def __init__(
        self, connection: TritonConnection, name: str, place: ServerModel, labels: tuple[str, str, str]
    ) -> None:
        self.place = place
        self._name = name
        self._labels = labels
        self._connection = connection
        self._options = connection.options
        self._calls = ServerCalls(connection, place)
        self._breaker = Breaker(f"Triton model {place.name}", self._options.max_pause_s)
        self._signature: Signature | None = None
        self._reference: Reference | None = None
        self._problem = "has not been checked yet"
        self._checked = threading.Event()
        self._watch: Future[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether batches are sent to the server."""
        return self._signature is not None

    def start(self, reference: Reference) -> None:
        """Starts to check and watch the model.

        Args:
            reference: What it has to compute.
        """
        self._reference = reference
        self._watch = self._connection.start(self._keep_watch(reference))

    def wait_until_checked(self, timeout_s: float) -> bool:
        """Waits for the first check; returns whether the model is ready."""
        self._checked.wait(timeout_s)
        return self.is_ready

    def close(self) -> None:
        """Stops to watch the model."""
        if self._watch is not None:
            self._watch.cancel()

    def infer(self, pixels: NDArray[np.uint8]) -> Arrays:
        """Runs the network on a batch; several threads may call it at once.

        Args:
            pixels: (N, H, W, 3) uint8.

        Returns:
            The outputs, each (N, …).

        Raises:
            NotReady: The server is down, does not have the model, or has another one.
            BackendFailed: It did not answer in time.
            ServiceError: It failed on this batch.
        """
        signature, reference = self._signature, self._reference
        if signature is None or reference is None:
            raise NotReady(f"the Triton server of {self._name} {self._problem}")
        step = signature.max_batch_size or len(pixels)
        starts = range(0, len(pixels), step)
        parts = [self._infer(signature, reference, pixels[start : start + step]) for start in starts]
        return parts[0] if len(parts) == 1 else tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def _infer(self, signature: Signature, reference: Reference, pixels: NDArray[np.uint8]) -> Arrays:
        tensor = signature.tensor(pixels if signature.takes_pixels else reference.normalise(pixels))
        return self._connection.run(self._answer(signature, tensor))

    async def _answer(self, signature: Signature, tensor: InferInput) -> Arrays:
        try:
            outputs = await self._calls.infer(signature, tensor)
        except ServerTooSlow as error:
            self._count("timeout")
            self._open("does not answer in time", error)
            raise BackendFailed(f"the Triton server of {self._name} {self._problem}") from None
        except (ServerUnavailable, ServerMismatch) as error:
            self._count("unavailable")
            self._open("has another model" if isinstance(error, ServerMismatch) else "does not answer", error)
            raise NotReady(f"the Triton server of {self._name} {self._problem}") from None
        except InferenceServerException as error:
            self._count("failed")
            log.error("Triton failed on a batch", model=self._name, shape=tensor.shape(), reason=error.message())
            raise ServiceError("the model failed on this image") from None
        self._count("ok")
        return outputs

    def _count(self, outcome: str) -> None:
        TRITON_CALLS.labels(*self._labels, outcome).inc()

    async def _keep_watch(self, reference: Reference) -> None:
        while True:
            if self.is_ready:
                await self._probe()
                await asyncio.sleep(self._options.health_interval_s)
            elif self._breaker.allows():
                await self._check(reference)
                self._checked.set()
            else:
                await asyncio.sleep(_TICK_S)

    async def _probe(self) -> None:
        try:
            if not await self._calls.is_ready():
                self._open("does not have the model", ServerUnavailable("the model is not ready"))
        except (ServerUnavailable, InferenceServerException) as error:
            self._open("does not answer", error)

    async def _check(self, reference: Reference) -> None:
        """Lets batches through once the server computes what the network here does."""
        try:
            signature = await self._calls.signature()
            pixels = reference.pixels
            tensor = signature.tensor(pixels if signature.takes_pixels else reference.normalise(pixels))
            _compare(reference.outputs, await self._calls.infer(signature, tensor), self._options.max_difference)
        except ServerUnavailable as error:
            self._open("does not answer", error)
        except (ServerMismatch, InferenceServerException) as error:
            self._open("has another model", error)
        else:
            self._breaker.succeed()
            self._signature = signature
            log.info("Triton model ready", model=self._name, server_model=self.place.name, version=self.place.version)

    def _open(self, problem: str, error: Exception) -> None:
        """Refuses batches until the server has passed the check again."""
        if problem != self._problem:
            log.warning(f"the Triton server {problem}", model=self._name, url=self._options.url, reason=str(error))
        self._problem, self._signature = problem, None
        self._breaker.fail(error)


def _compare(expected: Arrays, found: Arrays, max_difference: float) -> None:
    """Raises ServerMismatch unless the outputs of the server are those of the network here."""
    if [output.shape for output in expected] != [output.shape for output in found]:
        shapes = [list(output.shape) for output in found]
        raise ServerMismatch(f"its outputs have shapes {shapes}, not {[list(output.shape) for output in expected]}")
    for one, other in zip(expected, found, strict=True):
        difference, largest = float(np.abs(one - other).max()), float(np.abs(one).max())
        if not difference <= max_difference * largest:
            raise ServerMismatch(f"an output differs by {difference:.3g} where the largest value is {largest:.3g}")
