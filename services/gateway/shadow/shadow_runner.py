"""Runs the shadow version of a model on a sample of its requests, off the response path, and compares the answers.

    answer sent ── offer ──► bounded queue ── one image at a time ──► replica ──► compare ──► metrics, disagreements
                     │                                                   │
                     └── full: dropped                                   └── anything waits there: dropped

Nothing here is awaited by a request. Images of a shadow do not count as in flight and use neither the result cache nor
single flight, and their answers are only compared.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
import structlog

from services.answers.wire import Item, Outcome
from services.errors import OutOfTime, Overloaded, ServiceError, rebuild
from services.gateway.accuracy.feedback_store import StoreFailed
from services.gateway.serving.offload import TimeLimit, Workers
from services.gateway.serving.served_model import ServedModel
from services.gateway.shadow.agreement import agree, agreement_of
from services.gateway.shadow.disagreements import Disagreement, Disagreements
from services.gateway.shadow.shadow_image import ShadowImage
from services.telemetry import SHADOW_AGREEMENT, SHADOW_DISAGREEMENTS, SHADOW_IMAGES

log = structlog.get_logger()

MOST_WAITING: Final = 16
"""Images that wait for a shadow in one gateway; further ones are dropped."""

MOST_WAITING_BYTES: Final = 32 * 2**20
"""Their bytes."""

MOST_ANSWER_BYTES: Final = 2**20
"""Larger answers are not compared: parsing them would hold the GIL for long."""

IMAGE_S: Final = 10.0
"""Time limit of one image, from its turn to its answer."""

COMPARE_S: Final = 1.0
"""Time limit of one comparison."""

DROPPED: Final = "dropped"
"""Outcome of an image that was not run: the queue was full, or other images waited in the replica."""

Send = Callable[[ServedModel, Item], Awaitable[Outcome]]
"""Sends one image to a version, apart from those of requests."""


class ShadowRunner:
    """Runs shadows, one image at a time.

    Args:
        send: Sends images to replicas.
        disagreements: Where disagreements are listed.
    """

    def __init__(self, send: Send, disagreements: Disagreements) -> None:
        self._send = send
        self._disagreements = disagreements
        self._waiting: deque[ShadowImage] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._workers = Workers(1, "shadow")

    def offer(self, image: ShadowImage) -> None:
        """Queue an image, or drop it where the queue is full. It takes microseconds, and never raises."""
        size = len(image.image) + len(image.answer)
        if len(self._waiting) >= MOST_WAITING or (self._waiting and self._bytes + size > MOST_WAITING_BYTES):
            _count(image, DROPPED)
            return
        self._waiting.append(image)
        self._bytes += size
        self._arrived.set()

    async def run(self) -> None:
        """Run the queued images until cancelled."""
        while True:
            await self._arrived.wait()
            while self._waiting:
                image = self._waiting.popleft()
                self._bytes -= len(image.image) + len(image.answer)
                _count(image, await self._outcome_of(image))
            self._arrived.clear()

    def close(self) -> None:
        """Shut the thread pool down."""
        self._workers.close()

    async def _outcome_of(self, image: ShadowImage) -> str:
        """Run and compare one image; returns `ok`, `DROPPED` or the code of an error."""
        try:
            async with asyncio.timeout(IMAGE_S):
                await self._compare(image, await self._predict(image))
        except Overloaded:
            return DROPPED
        except TimeoutError:
            return OutOfTime.code
        except ServiceError as error:
            return error.code
        except Exception as error:  # a shadow never ends the task that runs the others
            log.error("shadow failed", model=image.shadow.name, version=image.shadow.version, exc_info=error)
            return ServiceError.code
        return "ok"

    async def _predict(self, image: ShadowImage) -> bytes:
        shadow, deadline_s = image.shadow, time.time() + IMAGE_S
        item = Item(
            shadow.name,
            image.image,
            image.complete(shadow.entry),
            deadline_s,
            shadow.identity,
            shadow.version,
            is_pinned=True,
            is_shadow=True,
        )
        outcome = await self._send(shadow, item)
        if outcome.failure is not None:
            raise rebuild(*outcome.failure)
        assert outcome.body is not None
        return outcome.body

    async def _compare(self, image: ShadowImage, answer: bytes) -> None:
        if max(len(answer), len(image.answer)) > MOST_ANSWER_BYTES:
            raise ServiceError("the answer is too large to be compared")
        names, compare, limit = (
            image.shadow.entry["class_names"],
            agreement_of(image.shadow.kind, image.shadow.entry),
            TimeLimit.after(COMPARE_S),
        )
        figures = await self._workers.run(
            lambda: compare(orjson.loads(image.answer), orjson.loads(answer), names, limit), limit
        )
        labels = image.shadow.name, image.shadow.version
        for name, value in figures.items():
            if math.isfinite(value):
                SHADOW_AGREEMENT.labels(*labels, name).observe(value)
        if not agree(figures):
            SHADOW_DISAGREEMENTS.labels(*labels).inc()
            await self._list(image, figures)

    async def _list(self, image: ShadowImage, figures: Mapping[str, float]) -> None:
        found = Disagreement(
            request_id=image.request_id,
            index=image.index,
            tenant=image.tenant,
            at_s=round(time.time(), 3),
            primary=image.primary.version,
            shadow=image.shadow.version,
            figures=figures,
        )
        try:
            await self._disagreements.add(image.shadow.name, found)
        except StoreFailed as error:
            log.warning("disagreement not listed", request_id=image.request_id, reason=str(error))


def _count(image: ShadowImage, outcome: str) -> None:
    SHADOW_IMAGES.labels(image.shadow.name, image.shadow.version, outcome).inc()
