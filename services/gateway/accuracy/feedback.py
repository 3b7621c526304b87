"""`POST /v1/feedback`: ground truth for an earlier answer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, cast

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from services.errors import AlreadyGiven, FeedbackUnavailable, InvalidParameters
from services.gateway.accuracy.answer_log import AnswerLog, GivenAnswer
from services.gateway.accuracy.feedback_kinds import KINDS
from services.gateway.accuracy.feedback_metrics import Counts
from services.gateway.accuracy.feedback_store import FeedbackStore, StoreFailed
from services.gateway.accuracy.live_accuracy import Live, or_none
from services.gateway.accuracy.overview import AccuracyWatch
from services.gateway.bodies import Bodies
from services.gateway.disconnects import EndedWithClient
from services.gateway.inputs import read_document, validate
from services.gateway.limits import read_timeout
from services.gateway.schemas import FeedbackRequest
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.offload import TimeLimit, Workers
from services.gateway.serving.open_request import OpenRequest, open_request
from services.gateway.serving.served_model import ServedModel
from services.settings import Settings
from services.telemetry import FEEDBACK

log = structlog.get_logger()

JUDGES: Final = 2
"""Feedbacks that one gateway evaluates at a time. Each may hold class maps of the largest photo that is accepted."""


class FeedbackHandler:
    """Handles feedback: ground truth for earlier predictions.

    Args:
        settings: Time limits, caps on the body, and retention time of feedback.
        bodies: Reads request bodies.
        admission: Limits the requests in flight.
        receipts: Finds the answer of a request.
        store: Records which answers have feedback.
        watch: Adds feedback to the live accuracy.
    """

    def __init__(
        self,
        settings: Settings,
        bodies: Bodies,
        admission: ConcurrencyLimiter,
        receipts: AnswerLog,
        store: FeedbackStore,
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
        """Accept one feedback, and add it to the live accuracy.

        Raises:
            ServiceError: it is refused.
        """

        def record(opened: OpenRequest) -> None:
            FEEDBACK.labels(opened.model, opened.outcome).inc()
            log.info("feedback", request_id=request.state.request_id, model=opened.model, outcome=opened.outcome)

        def timeout_s() -> float:
            return read_timeout(request.headers, self._settings)

        async with open_request(self._admission, timeout_s, record) as opened:
            with self._bodies.open(request) as body:
                told = await read_document(body, self._settings.max_body_bytes, _parse, opened.limit)
                with EndedWithClient(request), self._admission.slot():
                    given = await self._receipts.find(request.state.tenant, told.request_id, told.index, told.task)
                    opened.model = given.model.name
                    counts = await self._judge(told, given, opened.limit)
                    live = await self._count(told, given, counts)
            return _respond(told, given.model, counts, live)

    def close(self) -> None:
        """Shut the thread pool down."""
        self._workers.close()

    async def _judge(self, told: FeedbackRequest, given: GivenAnswer, limit: TimeLimit) -> Counts:
        """Compare the answer with the ground truth, in a thread pool of its own, since it may take seconds."""
        served = given.model
        if served.is_experimental:
            message = f"{served.name} makes images: there is no ground truth to compare its answers with"
            raise InvalidParameters(message, {"model": served.name})
        kind = KINDS[served.kind]

        def work() -> Counts:
            limit.check()
            answer = cast(dict[str, Any], orjson.loads(given.body))
            size = (answer["image"]["height"], answer["image"]["width"])
            truth = kind.read(told.target, served.entry, size, limit)
            return kind.judge(answer, truth, given.class_ids, len(served.entry["class_names"]), limit)

        if kind.is_quick and len(told.target) == 1:
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
    figures = KINDS[served.kind].compute(counts)
    body = {
        "model": served.name,
        "version": served.version,
        "request_id": told.request_id,
        "index": told.index,
        "figures": {name: or_none(value) for name, value in figures.items()},
        "live": live.to_dict(),
    }
    return Response(orjson.dumps(body), media_type="application/json", headers={"cache-control": "no-store"})
