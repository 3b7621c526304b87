"""Calls to models: the `Backend` protocol, and its implementations, with Ray Serve's handles and in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any, Protocol, cast

import structlog
from ray.exceptions import RayActorError, RaySystemError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from services.answers.wire import Item, Outcome
from services.errors import BackendFailed, NotReady, Overloaded, ServiceError
from services.telemetry import CALL_IMAGES, CALL_RETRIES

log = structlog.get_logger()

LOST = (RayActorError, RaySystemError, ReplicaUnavailableError)
"""Exceptions of a handle whose replica was lost during the call; inference is idempotent and is retried."""

RETRIES = 4
RETRY_PAUSE_S = 0.2
HEAVY_CALL_BYTES = 2**20
"""A call with more image bytes goes through Ray's shared memory, where a second thread copies it without the GIL.

Smaller ones are pickled and sent on the gateway's event loop, which is faster for each call; an image of 32 MiB would
block the event loop for 0.1 s.
"""


class Backend(Protocol):
    """One model deployment, called by a gateway."""

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        """Predicts a list of images: same length, same order, an error in the place of a failure."""
        ...

    async def describe(self) -> list[dict[str, Any]]:
        """Returns the catalog entries of the models that are loaded and warm there."""
        ...


class Host(Protocol):
    """The models of a deployment in this process (`services.deployments.host.ModelHost`)."""

    async def predict(self, items: list[Item]) -> list[Outcome]:
        """Predicts a list of images: same length, same order, a failure in the place of its image."""
        ...

    async def answer(self, item: Item) -> Outcome:
        """Predicts one image."""
        ...

    def describe(self) -> list[dict[str, Any]]:
        """The descriptions of the versions that take images."""
        ...

    def short_side_needed(self, name: str, parameters: dict[str, Any], image_size: tuple[int, int]) -> int | None:
        """The short side of a JPEG in pixels that a version needs in a shared decode; None where it shares none."""
        ...

    def check_health(self) -> None:
        """Raises where its threads have ended."""
        ...

    def close(self) -> None:
        """Stops following the serving plan, and closes the connection to a Triton server."""
        ...


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A deployment that this process hosts: an image goes to its batcher without a call between processes.

    Attributes:
        host: The models.
    """

    host: Host

    async def predict(self, items: list[Item]) -> Sequence[Outcome]:
        """See `Backend.predict`."""
        return await self.host.predict(items)

    async def describe(self) -> list[dict[str, Any]]:
        """See `Backend.describe`."""
        return self.host.describe()


class RayBackend:
    """A deployment behind a Ray Serve handle.

    Args:
        handle: `DeploymentHandle` of a `services.deployments.replica.ModelReplica`; Ray types its methods as anything.
        task: For the metrics.
    """

    def __init__(self, handle: Any, task: str) -> None:
        self._handle = _with_pickle(handle)
        self._heavy_handle = sent_by_thread(handle).options(_by_reference=True)
        self._call_images = CALL_IMAGES.labels(task)
        self._retries = CALL_RETRIES.labels(task)

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        """Send one call; if its replica is lost, retry each image alone, so that one that crashes a replica fails
        alone."""
        self._call_images.observe(len(items))
        try:
            return await self._send(items)
        except LOST as error:
            log.warning("replica lost", images=len(items), reason=type(error).__name__)
            return await asyncio.gather(*(self._try_again(item) for item in items))
        except BackPressureError:
            raise Overloaded("the model's replicas are busy") from None
        except DeploymentUnavailableError:
            raise NotReady("the model's deployment is not available") from None

    async def describe(self) -> list[dict[str, Any]]:
        """Request the description of the models from one replica; from another one where that is lost."""
        try:
            return await self._handle.describe.remote()
        except LOST:
            return await self._handle.describe.remote()

    def _send(self, items: list[Item]) -> Any:
        if sum(len(item.image) for item in items) <= HEAVY_CALL_BYTES:
            return self._handle.predict.remote(items)
        lent: list[Any] = [item._replace(image=cast(Any, Lent(item.image))) for item in items]
        return self._heavy_handle.predict.remote(lent)

    async def _try_again(self, item: Item) -> Outcome | ServiceError:
        for attempt in range(RETRIES):
            if time.time() > item.deadline_s:
                break
            self._retries.inc()
            try:
                return (await self._send([item]))[0]
            except LOST:
                await asyncio.sleep(RETRY_PAUSE_S * 2**attempt)
            except (BackPressureError, DeploymentUnavailableError):
                break
        return BackendFailed("the replica that worked on this image was lost, and so were the retries")


def _with_pickle(handle: Any) -> Any:
    """A handle for plain tuples (`services.answers.wire`): pickle serialises them faster than Ray's cloudpickle."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")


def sent_by_thread(handle: Any) -> Any:
    """Another handle of the same deployment, whose calls are sent in Ray Serve's own thread."""
    other = cast(Any, DeploymentHandle)(handle.deployment_name, handle.app_name)
    other._init(_run_router_in_separate_loop=True)  # Ray has no public way to choose it for one handle
    return other


class Lent:
    """Bytes that are pickled out of band, so that Ray copies them without the GIL; they arrive as `bytes`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return bytes, (PickleBuffer(self._data),)
