"""`POST /v1/feedback`: the truth about an earlier answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from services.errors import AlreadyGiven, FeedbackUnavailable, OutOfTime, ServiceError
from services.gateway.accuracy import AccuracyWatch, or_none
from services.gateway.inputs import read_document, validate
from services.gateway.judging import Judgement, judge
from services.gateway.limits import Admission, read_timeout
from services.gateway.live_accuracy import figures_of
from services.gateway.live_store import LiveStore, StoreFailed
from services.gateway.prediction import NO_MODEL
from services.gateway.receipts import GivenAnswer, Receipts
from services.gateway.registry import Registry, ServedModel
from services.gateway.schemas import FeedbackRequest
from services.gateway.truths import kind_of, read_truth
from services.settings import Settings
from services.telemetry import FEEDBACK

log = structlog.get_logger()

JUDGES: Final = 2
"""Feedbacks that one gateway works out at a time. Each may hold class maps of the largest photo that is accepted."""


@dataclass(frozen=True)
class FeedbackHandler:
    """Takes the truth about earlier answers."""

    settings: Settings
    registry: Registry
    admission: Admission
    receipts: Receipts
    store: LiveStore
    watch: AccuracyWatch
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(JUDGES))

    async def __call__(self, request: Request) -> Response:
        """Take one feedback, and count it.

        Raises:
            ServiceError: it is not taken.
        """
        model, outcome = NO_MODEL, ServiceError.code
        try:
            async with asyncio.timeout(read_timeout(request.headers, self.settings)), self.admission.enter(request):
                told = await read_document(request, self.settings, lambda sent: validate(FeedbackRequest, sent))
                given = await self.receipts.find(told.request_id, told.index)
                served = self.registry.get(given.key.name)
                model = served.name
                judgement = await self._judge(told, given, served)
                await self._count(told, given, served, judgement)
            outcome = "ok"
            return self._respond(told, given, served, judgement)
        except TimeoutError:
            outcome = OutOfTime.code
            raise OutOfTime("the feedback took longer than its time limit") from None
        except ServiceError as error:
            outcome = error.code
            raise
        finally:
            FEEDBACK.labels(model, outcome).inc()
            log.info("feedback", request_id=request.state.request_id, model=model, outcome=outcome)

    async def _judge(self, told: FeedbackRequest, given: GivenAnswer, served: ServedModel) -> Judgement:
        def work() -> Judgement:
            answer = cast(dict[str, Any], orjson.loads(given.body))
            truth = read_truth(told.target, served.entry, (answer["image"]["height"], answer["image"]["width"]))
            return judge(answer, truth, given.class_ids, len(served.entry["class_names"]))

        if kind_of(served.entry) == "classification":
            return work()
        async with self._slots:
            return await asyncio.to_thread(work)

    async def _count(
        self, told: FeedbackRequest, given: GivenAnswer, served: ServedModel, judgement: Judgement
    ) -> None:
        claim = f"{told.request_id}:{told.index}:{given.cache_key[-16:]}"
        try:
            if not await self.store.claim(claim, self.settings.feedback_ttl_s):
                message = f"image {told.index} of request {told.request_id} has feedback already"
                raise AlreadyGiven(message, {"request_id": told.request_id, "index": told.index})
            try:
                await self.watch.add(given.key, kind_of(served.entry), judgement)
            except StoreFailed:
                with suppress(StoreFailed):
                    await self.store.release(claim)
                raise
        except StoreFailed:
            raise FeedbackUnavailable("the store of feedback is down or slow; try again") from None

    def _respond(
        self, told: FeedbackRequest, given: GivenAnswer, served: ServedModel, judgement: Judgement
    ) -> Response:
        figures = figures_of(kind_of(served.entry), [judgement])
        live = self.watch.live(given.key) if given.key == served.key else None
        body = {
            "model": given.key.name,
            "version": given.key.version,
            "request_id": told.request_id,
            "index": told.index,
            "figures": {name: or_none(value) for name, value in figures.items()},
            "live": live and live.to_dict(),
        }
        return Response(orjson.dumps(body), media_type="application/json", headers={"cache-control": "no-store"})
