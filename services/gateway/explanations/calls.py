"""Calls of a gateway to the explainer."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Protocol

import structlog
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from services.answers.explanation import ExplanationItem, ExplanationOutcome
from services.errors import BackendFailed, NotReady, Overloaded
from services.gateway.serving.backends import LOST, Lent, sent_by_thread

log = structlog.get_logger()

MOST_CALLS: Final = 4
"""Explanations of one gateway at a time, those that wait included; one more gets a 503."""
RETRY_AFTER_S: Final = 3.0


class ExplainerCalls(Protocol):
    """Where explanations are made."""

    async def explain(self, item: ExplanationItem) -> ExplanationOutcome:
        """Explains one prediction.

        Raises:
            Overloaded: too many explanations are in progress.
            NotReady, BackendFailed: the explainer cannot be reached.
        """
        ...


class RayExplainer:
    """The explainer behind a Ray Serve handle.

    Args:
        handle: `DeploymentHandle` of a `services.deployments.explainer.ExplainerReplica`; Ray types its methods as
            anything. Its router is made with the first explanation, in a thread, for it takes a second; calls are sent
            by Ray Serve's own thread, through shared memory.
    """

    def __init__(self, handle: Any) -> None:
        self._given = handle
        self._handle: Any = None
        self._making = asyncio.Lock()
        self._in_progress = 0

    async def explain(self, item: ExplanationItem) -> ExplanationOutcome:
        """See `ExplainerCalls.explain`; a lost replica is tried again once, for explaining changes nothing."""
        if self._in_progress >= MOST_CALLS:
            raise Overloaded(
                f"{MOST_CALLS} explanations are in progress here already", {"explanations": MOST_CALLS}, RETRY_AFTER_S
            )
        self._in_progress += 1
        try:
            async with self._making:
                if self._handle is None:
                    self._handle = await asyncio.to_thread(_opened, self._given)
            return await self._send_twice(item)
        except BackPressureError:
            raise Overloaded("the explainer is busy", None, RETRY_AFTER_S) from None
        except DeploymentUnavailableError:
            raise NotReady("the explainer is not available") from None
        finally:
            self._in_progress -= 1

    async def _send_twice(self, item: ExplanationItem) -> ExplanationOutcome:
        try:
            return await self._send(item)
        except LOST as error:
            log.warning("explainer lost", reason=type(error).__name__)
        if time.time() < item.deadline_s:
            try:
                return await self._send(item)
            except LOST:
                pass
        raise BackendFailed("the process that explains was lost, and again at the second attempt")

    def _send(self, item: ExplanationItem) -> Any:
        lent: Any = Lent(item.image)
        return self._handle.explain.remote(item._replace(image=lent))


def _opened(handle: Any) -> Any:
    return sent_by_thread(handle).options(_by_reference=True)
