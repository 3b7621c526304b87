"""The handler of every prediction endpoint: from an HTTP request to an HTTP response."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from services.errors import OutOfTime, ServiceError
from services.gateway.admission import Admission
from services.gateway.bodies import Bodies
from services.gateway.inputs import TaskInput, read_input
from services.gateway.inspection import Inspector
from services.gateway.limits import read_timeout
from services.gateway.negotiation import Rendering
from services.gateway.offload import TimeLimit
from services.gateway.predictor import Answer, CachePolicy, Predictor, Question
from services.gateway.receipts import Receipts
from services.gateway.registry import Registry
from services.gateway.rendering import Renderer, picture_response, wanted_picture
from services.gateway.responses import Responder
from services.gateway.served_model import ServedModel
from services.gateway.tasks import TaskApi
from services.settings import Settings
from services.telemetry import REQUEST_IMAGES, REQUEST_SECONDS, REQUESTS

log = structlog.get_logger()

NO_MODEL = ""
"""Metric label of requests that fail before their model is found; the name that a client sends is never a label."""


@dataclass(frozen=True, slots=True)
class PredictionHandler:
    """Answers the requests of one task.

    Attributes:
        api: Path, parameters and response schema of the task.
    """

    api: TaskApi
    settings: Settings
    registry: Registry
    inspector: Inspector
    predictor: Predictor
    renderer: Renderer
    responder: Responder
    bodies: Bodies
    admission: Admission
    receipts: Receipts

    async def __call__(self, request: Request) -> Response:
        """Answer one request, count it, and log it.

        Raises:
            ServiceError: the whole request failed.
        """
        started_at = time.perf_counter()
        model, outcome, images = NO_MODEL, "ok", 0
        try:
            timeout_s = read_timeout(request.headers, self.settings)
            limit = TimeLimit(time.monotonic() + timeout_s)
            deadline_s = time.time() + timeout_s
            async with asyncio.timeout(timeout_s):
                self.admission.check()
                with self.bodies.open(request) as body:
                    task_input = await read_input(body, self.api.parameters, self.settings, limit)
                    read_ms = (time.perf_counter() - started_at) * 1e3
                    rendering = wanted_picture(request, task_input)
                    served = self.registry.find(self.api.task, task_input.parameters.model)
                    model, images = served.name, len(task_input.images)
                    checked = await self.inspector.check(task_input.images, limit)
                    parameters = task_input.parameters if rendering is None else task_input.parameters.for_drawing()
                    task_input = TaskInput(checked, task_input.several, parameters)
                    async with self.bodies.until_disconnect(request), self.admission.enter():
                        answers = await self._answer_all(request, served, task_input, deadline_s)
                        response = await self._respond(request, served, task_input, answers, rendering, limit)
            if any(isinstance(answer, ServiceError) for answer in answers):
                outcome = "partial"
            total_ms = (time.perf_counter() - started_at) * 1e3
            response.headers["server-timing"] = server_timing(answers, read_ms, total_ms)
            return response
        except TimeoutError:
            outcome = OutOfTime.code
            raise OutOfTime("the request took longer than its time limit") from None
        except ServiceError as error:
            outcome = error.code
            raise
        except (asyncio.CancelledError, ClientDisconnect):
            outcome = "disconnected"
            raise
        except Exception:
            outcome = ServiceError.code
            raise
        finally:
            self._count(request, model, outcome, images, time.perf_counter() - started_at)

    async def _answer_all(
        self, request: Request, served: ServedModel, task_input: TaskInput, deadline_s: float
    ) -> list[Answer | ServiceError]:
        policy = CachePolicy.of(request.headers.get("cache-control", ""))
        task_input.parameters.check(len(task_input.images))
        tenant: str = request.state.tenant
        scope = "" if self.settings.cache_shared else tenant
        question = Question.of(served, task_input.parameters.complete, scope)

        async def answer(image: bytes | ServiceError) -> Answer:
            if isinstance(image, ServiceError):
                raise image
            return await self.predictor.answer(question, image, policy, deadline_s)

        answers: list[Answer | ServiceError]
        if task_input.several:
            results = await asyncio.gather(*map(answer, task_input.images), return_exceptions=True)
            answers = [self._as_item_error(result) for result in results]
        else:
            answers = [await answer(task_input.images[0])]
        self.receipts.remember(tenant, request.state.request_id, answers, policy)
        return answers

    async def _respond(
        self,
        request: Request,
        served: ServedModel,
        task_input: TaskInput,
        answers: list[Answer | ServiceError],
        rendering: Rendering | None,
        limit: TimeLimit,
    ) -> Response:
        photo, answer = task_input.images[0], answers[0]
        if rendering is None or isinstance(photo, ServiceError) or isinstance(answer, ServiceError):
            response = await self.responder.respond(request, served, task_input, answers, limit)
        else:
            picture = await self.renderer.render(photo, answer, rendering, limit)
            answer.stages_ms["render"] = picture.took_ms
            response = picture_response(answer, picture, rendering)
        response.headers["vary"] = "Accept"
        return response

    def _as_item_error(self, answer: Answer | BaseException) -> Answer | ServiceError:
        if isinstance(answer, Answer | ServiceError):
            return answer
        if isinstance(answer, Exception):
            log.error("prediction failed", exc_info=answer)
            return ServiceError("the model failed on this image")
        raise answer

    def _count(self, request: Request, model: str, outcome: str, images: int, took_s: float) -> None:
        task = self.api.task
        REQUESTS.labels(task, model, outcome).inc()
        REQUEST_SECONDS.labels(task, model).observe(took_s)
        if images:
            REQUEST_IMAGES.labels(task, model).inc(images)
        log.info(
            "request",
            request_id=request.state.request_id,
            task=task,
            model=model,
            outcome=outcome,
            images=images,
            ms=round(took_s * 1e3, 2),
        )


def server_timing(answers: list[Answer | ServiceError], read_ms: float, total_ms: float) -> str:
    """The `Server-Timing` header: the longest of each stage over the images, in milliseconds.

    Source: W3C Server Timing, https://www.w3.org/TR/server-timing/
    """
    stages_ms: dict[str, float] = {"read": read_ms}
    for answer in answers:
        if isinstance(answer, Answer):
            for stage, took_ms in answer.stages_ms.items():
                stages_ms[stage] = max(stages_ms.get(stage, 0.0), took_ms)
    stages_ms["total"] = total_ms
    return ", ".join(f"{stage};dur={took_ms:.2f}" for stage, took_ms in stages_ms.items())
