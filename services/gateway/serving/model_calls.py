"""Load shedding for one model: refuses images with too long an expected wait, and sends the others to the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from services.answers.wire import Item, Outcome
from services.errors import OutOfTime, Overloaded, ServiceError
from services.gateway.serving.backends import Backend, LocalBackend
from services.gateway.serving.queue_wait import QueueWait

TIME_SHARE = 0.7
"""An image is refused where its expected latency exceeds this share of its time limit; the rest is a safety margin."""


class ModelCalls:
    """Sends the images of one model, and limits their expected wait.

    Each model has its own, so that images for a fast model never wait for those for a slow one.

    Args:
        send: Sends one image to the model, such as `Coalescer.submit`.
        wait: Estimates the wait for this model.
        max_wait_s: Longest expected wait; an image that would wait longer is refused.
        backend: The model's replicas, for images that are sent apart.
    """

    def __init__(
        self, send: Callable[[Item], Awaitable[Outcome]], wait: QueueWait, max_wait_s: float, backend: Backend
    ) -> None:
        self._send = send
        self._wait = wait
        self._max_wait_s = max_wait_s
        self._backend = backend
        self._in_flight = 0
        self._passes = 0

    def __len__(self) -> int:
        """Images in flight: those that wait to be sent, and those that were sent."""
        return self._in_flight

    def of_request(self, passes: int = 1) -> RequestCalls:
        """Calls for the images of one request, which do not count as each other's queue.

        Args:
            passes: Images that each of them takes through the network: with augmentation, its views.
        """
        return RequestCalls(self, self._passes, passes)

    async def submit(self, item: Item, ahead: int | None = None, passes: int = 1) -> Outcome:
        """Sends one image and returns its outcome.

        Args:
            item: The image.
            ahead: Passes of others that were in flight before it; None: all that are in flight.
            passes: Images that it takes through the network; it counts as so many in the estimate of the wait.

        Raises:
            Overloaded: its expected wait is too long; `retry_after_s` is the time until those in flight are done.
            ServiceError: as `services.gateway.serving.backends.Backend` says.
        """
        clock = asyncio.get_running_loop().time
        in_flight = self._passes + passes
        self._check(in_flight if ahead is None else ahead + passes, in_flight, passes, item.deadline_s - time.time())
        came_at = clock()
        self._in_flight += 1
        self._passes = in_flight
        try:
            outcome = await self._send(item)
        except (asyncio.CancelledError, OutOfTime):
            self._see_unanswered(in_flight, came_at, clock())
            raise
        finally:
            self._in_flight -= 1
            self._passes -= passes
        if outcome.failure is None:
            self._see_answered(in_flight, came_at, clock(), outcome.stages_ms, passes)
        elif outcome.failure.code == OutOfTime.code:
            self._see_unanswered(in_flight, came_at, clock())
        return outcome

    def short_side_needed(self, name: str, parameters: dict[str, Any], image_size: tuple[int, int]) -> int | None:
        """The short side of a JPEG that the model needs in a decode that models of this process share.

        Args:
            name: `NAME@VERSION`.
            parameters: Complete.
            image_size: (height, width) in pixels.

        Returns:
            In pixels; None where the model is in another process, or decodes by itself.
        """
        backend = self._backend
        return (
            backend.host.short_side_needed(name, parameters, image_size) if isinstance(backend, LocalBackend) else None
        )

    async def submit_apart(self, item: Item) -> Outcome:
        """Sends one image of a shadow in a call of its own, which does not count as in flight.

        Raises:
            ServiceError: as for `submit`.
        """
        (outcome,) = await self._backend.predict([item])
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def _check(self, place: int, in_flight: int, passes: int, time_left_s: float) -> None:
        if in_flight == passes:
            return
        service_s = self._wait.service_s * passes
        wait_s = self._wait.latency_s(place) - service_s if place > passes else 0.0
        # A time limit that is too short even without a queue is no overload: the answer is 504, not 503.
        too_late = self._wait.latency_s(in_flight) > TIME_SHARE * time_left_s >= service_s
        if wait_s > self._max_wait_s or too_late:
            wait_s = self._wait.latency_s(in_flight) - service_s
            raise Overloaded(
                f"{self._in_flight} images are in flight; another one would wait {wait_s:.1f} s",
                {"images": self._in_flight, "expected_wait_s": round(wait_s, 3)},
                max(wait_s, 1.0),
            )

    def _see_answered(
        self, in_flight: int, came_at: float, now_s: float, stages_ms: dict[str, float], passes: int
    ) -> None:
        service_s = (sum(stages_ms.values()) - stages_ms.get("queue", 0.0)) / 1e3 / passes
        self._wait.see(in_flight, now_s - came_at, service_s, now_s)

    def _see_unanswered(self, in_flight: int, came_at: float, now_s: float) -> None:
        """Record the time of a failed image as a lower bound of the latency, where that is above the estimate."""
        if now_s - came_at > self._wait.latency_s(in_flight):
            self._wait.see(in_flight, now_s - came_at, self._wait.service_s, now_s)


@dataclass(frozen=True, slots=True)
class RequestCalls:
    """Calls for the images of one request.

    Attributes:
        calls: Calls to the model.
        ahead: Passes of images that were in flight when the request arrived.
        passes: Images that each of its images takes through the network.
    """

    calls: ModelCalls
    ahead: int
    passes: int = 1

    async def submit(self, item: Item) -> Outcome:
        """See `ModelCalls.submit`."""
        return await self.calls.submit(item, self.ahead, self.passes)
