"""`POST /v1/feedback`: ground truth for an earlier answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Final, cast

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from services.errors import AlreadyGiven, FeedbackUnavailable, OutOfTime, ServiceError
from services.gateway.accuracy import AccuracyWatch
from services.gateway.admission import Admission
from services.gateway.bodies import Bodies
from services.gateway.inputs import read_document, validate
from services.gateway.judging import Counts, judge
from services.gateway.limits import read_timeout
from services.gateway.live_accuracy import Live, figures_of, or_none
from services.gateway.live_store import LiveStore, StoreFailed
from services.gateway.offload import TimeLimit, Workers
from services.gateway.prediction import NO_MODEL
from services.gateway.receipts import GivenAnswer, Receipts
from services.gateway.schemas import FeedbackRequest
from services.gateway.served_model import ServedModel
from services.gateway.truths import kind_of, read_truth
from services.settings import Settings
from services.telemetry import FEEDBACK

log = structlog.get_logger()

JUDGES: Final = 2
"""Feedbacks that one gateway evaluates at a time. Each may hold class maps of the largest photo that is accepted."""


class FeedbackHandler:
    """Accepts ground truth for earlier answers.

    Args:
        settings: Time limits, caps on the body, and for how long a feedback is remembered.
        bodies: Reads request bodies.
        admission: Caps the requests in flight.
        receipts: Remembers which answer each request got.
        store: Remembers which answers have feedback.
        watch: Adds it to the live accuracy.
    """

    def __init__(
        self,
        settings: Settings,
        bodies: Bodies,
        admission: Admission,
        receipts: Receipts,
        store: LiveStore,
        watch: AccuracyWatch,
    ) -> None:
        self._settings = settings
        self._bodies = bodies
        self._admission = admission
        self._receipts = receipts
        self._store = store
        self._watch = watch
        self._workers = Workers(JUDGES, "judge")

    async def __call__(self, request: Request) -> Response:
        """Take one feedback, and count it.

        Raises:
            ServiceError: it is not taken.
        """
        model, outcome = NO_MODEL, ServiceError.code
        try:
            timeout_s = read_timeout(request.headers, self._settings)
            limit = TimeLimit(time.monotonic() + timeout_s)
            async with asyncio.timeout(timeout_s):
                self._admission.check()
                with self._bodies.open(request) as body:
                    told = await read_document(body, self._settings.max_body_bytes, _parse, limit)
                    async with self._bodies.until_disconnect(request), self._admission.enter():
                        given = await self._receipts.find(request.state.tenant, told.request_id, told.index)
                        model = given.model.name
                        counts = await self._judge(told, given, limit)
                        live = await self._count(told, given, counts)
            outcome = "ok"
            return _respond(told, given.model, counts, live)
        except TimeoutError:
            outcome = OutOfTime.code
            raise OutOfTime("the feedback took longer than its time limit") from None
        except ServiceError as error:
            outcome = error.code
            raise
        except (asyncio.CancelledError, ClientDisconnect):
            outcome = "disconnected"
            raise
        finally:
            FEEDBACK.labels(model, outcome).inc()
            log.info("feedback", request_id=request.state.request_id, model=model, outcome=outcome)

    def close(self) -> None:
        """Shut the thread pool down."""
        self._workers.close()

    async def _judge(self, told: FeedbackRequest, given: GivenAnswer, limit: TimeLimit) -> Counts:
        """Compare the answer with the ground truth, in a thread pool of its own, since it may take seconds."""
        served = given.model

        def work() -> Counts:
            limit.check()
            answer = cast(dict[str, Any], orjson.loads(given.body))
            size = (answer["image"]["height"], answer["image"]["width"])
            truth = read_truth(told.target, served.entry, size, limit)
            return judge(answer, truth, given.class_ids, len(served.entry["class_names"]), limit)

        if kind_of(served.entry) == "classification" and len(told.target) == 1:
            return work()
        return await self._workers.run(work, limit)

    async def _count(self, told: FeedbackRequest, given: GivenAnswer, counts: Counts) -> Live:
        try:
            if not await self._store.claim(given.claim, self._settings.feedback_ttl_s):
                message = f"image {told.index} of request {told.request_id} has feedback already"
                raise AlreadyGiven(message, {"request_id": told.request_id, "index": told.index})
            try:
                return await self._watch.add(given.model, counts)
            except BaseException:  # the end of the time limit, too
                with suppress(StoreFailed):
                    await self._store.release(given.claim)
                raise
        except StoreFailed:
            raise FeedbackUnavailable("the store of feedback is down or slow; try again") from None


def _parse(sent: dict[str, Any]) -> FeedbackRequest:
    return validate(FeedbackRequest, sent)


def _respond(told: FeedbackRequest, served: ServedModel, counts: Counts, live: Live) -> Response:
    figures = figures_of(kind_of(served.entry), counts)
    body = {
        "model": served.name,
        "version": served.version,
        "request_id": told.request_id,
        "index": told.index,
        "figures": {name: or_none(value) for name, value in figures.items()},
        "live": live.to_dict(),
    }
    return Response(orjson.dumps(body), media_type="application/json", headers={"cache-control": "no-store"})
