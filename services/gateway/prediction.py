"""The handler of every prediction endpoint: from an HTTP request to an HTTP response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from services.errors import ServiceError
from services.gateway.bodies import Bodies, Body
from services.gateway.disconnects import EndedWithClient
from services.gateway.inputs import read_input, read_parameters
from services.gateway.limits import read_timeout
from services.gateway.negotiation import Rendering
from services.gateway.rendering import Renderer, picture_response, wanted_picture
from services.gateway.responses import Responder
from services.gateway.serving.offload import TimeLimit
from services.gateway.serving.predictor import Answer, CachePolicy
from services.gateway.serving.request_path import Caller, PredictionInput, RequestPath
from services.gateway.serving.served_model import ServedModel
from services.kinds.task_api import TaskApi
from services.settings import Settings


@dataclass(frozen=True, slots=True)
class PredictionHandler:
    """Handles the HTTP requests of one task: parses the request, predicts, writes the response.

    Attributes:
        api: Path, parameters and response schema of the task.
        settings: Time limits and caps.
        path: Predicts the images.
        bodies: Reads request bodies.
        renderer: Renders pictures.
        responder: Writes JSON responses.
    """

    api: TaskApi
    settings: Settings
    path: RequestPath
    bodies: Bodies
    renderer: Renderer
    responder: Responder

    async def __call__(self, request: Request) -> Response:
        """Handle one request.

        Raises:
            ServiceError: the whole request failed.
        """
        task, caller = self.api.task, Caller(request.state.tenant, request.state.request_id)
        policy = CachePolicy.of(request.headers.get("cache-control", ""))
        async with self.path.open(caller, lambda: read_timeout(request.headers, self.settings), task) as opened:
            with self.bodies.open(request) as body:
                given = await self._read(body, opened.limit)
                read_ms = opened.elapsed_s * 1e3
                rendering = wanted_picture(request, given)
                served, given = await self.path.check(opened, task, given)
                if rendering is not None:
                    given = replace(given, parameters=given.parameters.for_drawing())
                with EndedWithClient(request), self.path.limiter.slot():
                    answers = await self.path.answer(opened, caller, served, given, policy)
                    response = await self._respond(request, served, given, answers, rendering, opened.limit)
            response.headers["server-timing"] = server_timing(answers, read_ms, opened.elapsed_s * 1e3)
            return response

    async def _read(self, body: Body, limit: TimeLimit) -> PredictionInput:
        if not self.api.takes_images:
            return await read_parameters(body, self.api.parameters, limit)
        return await read_input(body, self.api.parameters, self.settings, limit)

    async def _respond(
        self,
        request: Request,
        served: ServedModel,
        given: PredictionInput,
        answers: Sequence[Answer | ServiceError],
        rendering: Rendering | None,
        limit: TimeLimit,
    ) -> Response:
        photo, answer = given.images[0], answers[0]
        if rendering is None or isinstance(photo, ServiceError) or isinstance(answer, ServiceError):
            response = await self.responder.respond(request, served, given, answers, limit)
        else:
            make = self.api.picture_file
            if make is None:
                picture = await self.renderer.render(photo, [answer], rendering, limit)
            else:
                picture = await self.renderer.encode(make, answer, rendering, limit)
            answer.stages_ms["render"] = picture.took_ms
            response = picture_response(answer.key, picture, rendering, answer)
        response.headers["vary"] = "Accept"
        return response


def server_timing(answers: Sequence[Answer | ServiceError], read_ms: float, total_ms: float) -> str:
    """The `Server-Timing` header: the longest time of each stage over the images, in milliseconds.

    Source: W3C Server Timing, https://www.w3.org/TR/server-timing/
    """
    stages_ms: dict[str, float] = {"read": read_ms}
    for answer in answers:
        if isinstance(answer, Answer):
            for stage, took_ms in answer.stages_ms.items():
                stages_ms[stage] = max(stages_ms.get(stage, 0.0), took_ms)
    stages_ms["total"] = total_ms
    return ", ".join(f"{stage};dur={took_ms:.2f}" for stage, took_ms in stages_ms.items())
