"""Calls of a gateway to the explainer."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

import structlog
from ray.serve.exceptions import DeploymentUnavailableError

from services.answers.explanation import ExplanationItem, ExplanationOutcome
from services.errors import BackendFailed, NotReady
from services.gateway.serving.backends import LOST, Lent, sent_by_thread

log = structlog.get_logger()


class ExplainerCalls(Protocol):
    """Where explanations are made."""

    async def explain(self, item: ExplanationItem) -> ExplanationOutcome:
        """Explains one prediction.

        Raises:
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

    async def explain(self, item: ExplanationItem) -> ExplanationOutcome:
        """See `ExplainerCalls.explain`; a lost replica is tried again once, for explaining changes nothing."""
        async with self._making:
            if self._handle is None:
                self._handle = await asyncio.to_thread(_opened, self._given)
        try:
            return await self._send_twice(item)
        except DeploymentUnavailableError:
            raise NotReady("the explainer is not available") from None

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
