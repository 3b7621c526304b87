"""`POST /v1/analyze`: several tasks for one upload, as several parts of one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.errors import ServiceError
from services.gateway.analysis.parameters import AnalyzeParameters
from services.gateway.analysis.parts import Analyst, PartAnswers
from services.gateway.analysis.responses import joint_key, list_response, single_response
from services.gateway.bodies import Bodies
from services.gateway.disconnects import EndedWithClient
from services.gateway.inputs import read_input
from services.gateway.limits import read_timeout
from services.gateway.negotiation import Rendering
from services.gateway.prediction import server_timing
from services.gateway.rendering import Renderer, picture_response, wanted_picture
from services.gateway.serving.offload import TimeLimit
from services.gateway.serving.predictor import Answer, CachePolicy
from services.gateway.serving.request_path import Caller, PredictionInput
from services.settings import Settings

TASK: Final = "analysis"
"""Metric label of whole analyses; their parts are counted by their own tasks, too."""


@dataclass(frozen=True, slots=True)
class AnalysisHandler:
    """Handles analyses: parses the request, predicts its parts, writes one response.

    Attributes:
        settings: Time limits and caps.
        analyst: Predicts the parts.
        bodies: Reads request bodies.
        renderer: Renders pictures.
    """

    settings: Settings
    analyst: Analyst
    bodies: Bodies
    renderer: Renderer

    async def __call__(self, request: Request) -> Response:
        """Handle one request.

        Raises:
            ServiceError: the whole request failed, or no task has an answer.
        """
        path, caller = self.analyst.path, Caller(request.state.tenant, request.state.request_id)
        policy = CachePolicy.of(request.headers.get("cache-control", ""))
        async with path.open(caller, lambda: read_timeout(request.headers, self.settings), TASK) as opened:
            with self.bodies.open(request) as body:
                given = await read_input(body, AnalyzeParameters, self.settings, opened.limit)
                read_ms = opened.elapsed_s * 1e3
                rendering = wanted_picture(request, given)
                parts = await self.analyst.parts(opened, given, rendering is not None)
                with EndedWithClient(request), path.limiter.slot():
                    answers = await self.analyst.answer(opened, caller, parts, policy)
                    response = await self._respond(request, given, answers, rendering, opened.limit)
            every = [answer for part in answers for answer in part.answers]
            response.headers["server-timing"] = server_timing(every, read_ms, opened.elapsed_s * 1e3)
            response.headers["vary"] = "Accept"
            return response

    async def _respond(
        self,
        request: Request,
        given: PredictionInput,
        parts: Sequence[PartAnswers],
        rendering: Rendering | None,
        limit: TimeLimit,
    ) -> Response:
        if rendering is not None:
            return await self._drawn(given, parts, rendering, limit)
        write = list_response if given.several else single_response
        every = [answer for part in parts for answer in part.answers]
        return await self.analyst.responder.make(every, lambda: write(parts, request.state.request_id), limit)

    async def _drawn(
        self, given: PredictionInput, parts: Sequence[PartAnswers], rendering: Rendering, limit: TimeLimit
    ) -> Response:
        """The picture of all answers.

        Raises:
            ServiceError: the first error among them, for which a picture has no place.
        """
        answers: list[Answer] = []
        for part in parts:
            (answer,) = part.answers
            if isinstance(answer, ServiceError):
                raise answer
            answers.append(answer)
        (photo,) = given.images
        if isinstance(photo, ServiceError):
            raise photo
        picture = await self.renderer.render(photo, answers, rendering, limit)
        answers[0].stages_ms["render"] = picture.took_ms
        return picture_response(joint_key(parts), picture, rendering)
