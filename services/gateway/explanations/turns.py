"""Admits requests to the explainer: switch, time limit, places, metrics and log are the same for all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import Response

from services.answers.explanation import ExplanationItem, ExplanationOutcome
from services.errors import ExplanationsOff
from services.gateway.disconnects import EndedWithClient
from services.gateway.explanations.calls import ExplainerCalls
from services.gateway.explanations.places import Places
from services.gateway.limits import read_timeout
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.open_request import OpenRequest, open_request
from services.gateway.serving.request_path import Caller
from services.settings import Settings
from services.telemetry import EXPLANATION_SECONDS, EXPLANATIONS

log = structlog.get_logger()


@dataclass(slots=True)
class Turn:
    """A request to the explainer in progress.

    Attributes:
        caller: Who asks.
        opened: Its time limit, and what is recorded.
        method: Of the explanation, for metrics; empty until it is known.
        read_ms: Milliseconds until its body had been read.
    """

    caller: Caller
    opened: OpenRequest = field(default_factory=OpenRequest)
    method: str = ""
    read_ms: float = 0.0

    def finish(self, response: Response, outcome: ExplanationOutcome) -> Response:
        """Adds the time of each stage to the response."""
        stages = {"read": self.read_ms, **outcome.stages_ms, "total": self.opened.elapsed_s * 1e3}
        response.headers["server-timing"] = ", ".join(f"{name};dur={ms:.2f}" for name, ms in stages.items())
        return response


@dataclass(frozen=True, slots=True)
class Turns:
    """The requests to the explainer in one gateway.

    Attributes:
        settings: Time limits, and whether explanations are on.
        limiter: Limits the requests in progress of all kinds.
        calls: The explainer; None where there is none.
        places: Limits the requests to the explainer.
    """

    settings: Settings
    limiter: ConcurrencyLimiter
    calls: ExplainerCalls | None
    places: Places = field(default_factory=Places)

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Turn]:
        """Opens a request; it is recorded when it ends.

        Raises:
            ExplanationsOff: this server has no explanations.
            Overloaded: too many are in progress.
        """
        if self.calls is None or not self.settings.explanations:
            raise ExplanationsOff("explanations are turned off on this server")
        turn = Turn(Caller(request.state.tenant, request.state.request_id))
        record, limit = partial(_record, turn), lambda: read_timeout(request.headers, self.settings)
        async with open_request(self.limiter, limit, record, turn.caller.request_id) as opened:
            turn.opened = opened
            self.places.check(turn.caller.tenant)
            yield turn

    @contextmanager
    def computing(self, request: Request) -> Generator[None]:
        """Counts towards the requests in progress, and is cancelled when the client disconnects."""
        with EndedWithClient(request), self.limiter.slot():
            yield

    async def ask(self, item: ExplanationItem) -> ExplanationOutcome:
        """Asks the explainer; see `ExplainerCalls.explain`."""
        assert self.calls is not None
        return await self.calls.explain(item)


def _record(turn: Turn, opened: OpenRequest) -> None:
    EXPLANATIONS.labels(opened.model, turn.method, opened.outcome).inc()
    EXPLANATION_SECONDS.labels(opened.model, turn.method).observe(opened.elapsed_s)
    log.info(
        "explanation",
        request_id=turn.caller.request_id,
        model=opened.model,
        version=opened.version,
        method=turn.method,
        outcome=opened.outcome,
        ms=round(opened.elapsed_s * 1e3, 2),
    )
