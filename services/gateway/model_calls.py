"""The way of images to one model: one that would wait too long is refused, the others share calls."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from services.errors import OutOfTime, Overloaded
from services.gateway.coalescer import Coalescer
from services.gateway.queue_wait import QueueWait
from services.wire import Item, Outcome

TIME_SHARE = 0.8
"""An image is refused where its expected latency is above this share of the time it has: the estimate is one."""


class ModelCalls:
    """Sends the images of one model, and bounds how long they wait.

    Each model has its own calls, so that the images of a fast one never wait for those of a slow one beside it.

    Args:
        coalescer: Carries images to the model's replicas.
        wait: Of this model.
        max_wait_s: Longest expected wait; an image that would wait longer is refused.
    """

    def __init__(self, coalescer: Coalescer[Item, Outcome], wait: QueueWait, max_wait_s: float) -> None:
        self._coalescer = coalescer
        self._wait = wait
        self._max_wait_s = max_wait_s
        self._in_hand = 0

    def __len__(self) -> int:
        """Images in hand: those that wait here, and those that were sent."""
        return self._in_hand

    def of_request(self) -> RequestCalls:
        """The same for the images of one request, which do not count as each other's queue."""
        return RequestCalls(self, self._in_hand)

    async def submit(self, item: Item, ahead: int | None = None) -> Outcome:
        """The outcome of one image.

        Args:
            item: The image.
            ahead: Images of others that were in hand before it; None: all that are in hand.

        Raises:
            Overloaded: it would wait too long; `retry_after_s` is when those in hand are done.
            ServiceError: as `services.gateway.backends.Backend` says.
        """
        clock = asyncio.get_running_loop().time
        in_hand = self._in_hand + 1
        self._check(in_hand if ahead is None else ahead + 1, in_hand, item.deadline_s - time.time())
        came_at = clock()
        self._in_hand = in_hand
        try:
            outcome = await self._coalescer.submit(item)
        except (asyncio.CancelledError, OutOfTime):
            self._see_unanswered(in_hand, came_at, clock())
            raise
        finally:
            self._in_hand -= 1
        if outcome.failure is None:
            self._see_answered(in_hand, came_at, clock(), outcome.stages_ms)
        elif outcome.failure.code == OutOfTime.code:
            self._see_unanswered(in_hand, came_at, clock())
        return outcome

    def _check(self, place: int, in_hand: int, time_left_s: float) -> None:
        if in_hand == 1:
            return
        service_s = self._wait.service_s
        wait_s = self._wait.latency_s(place) - service_s if place > 1 else 0.0
        # An image whose time would not suffice for the work alone is no matter of load: it runs into its time limit.
        too_late = self._wait.latency_s(in_hand) > TIME_SHARE * time_left_s >= service_s
        if wait_s > self._max_wait_s or too_late:
            wait_s = self._wait.latency_s(in_hand) - service_s
            raise Overloaded(
                f"{in_hand - 1} images are in hand: another would wait {wait_s:.1f} s",
                {"images": in_hand - 1, "expected_wait_s": round(wait_s, 3)},
                max(wait_s, 1.0),
            )

    def _see_answered(self, in_hand: int, came_at: float, now_s: float, stages_ms: dict[str, float]) -> None:
        service_s = (sum(stages_ms.values()) - stages_ms.get("queue", 0.0)) / 1e3
        self._wait.see(in_hand, now_s - came_at, service_s, now_s)

    def _see_unanswered(self, in_hand: int, came_at: float, now_s: float) -> None:
        """One that waited in vain says that it takes at least so long; that is news where less was expected."""
        if now_s - came_at > self._wait.latency_s(in_hand):
            self._wait.see(in_hand, now_s - came_at, self._wait.service_s, now_s)


@dataclass(frozen=True, slots=True)
class RequestCalls:
    """The way of the images of one request.

    Attributes:
        calls: Of the model.
        ahead: Images that were in hand when the request came.
    """

    calls: ModelCalls
    ahead: int

    async def submit(self, item: Item) -> Outcome:
        """See `ModelCalls.submit`."""
        return await self.calls.submit(item, self.ahead)
