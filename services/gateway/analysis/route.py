"""The route of `POST /v1/analyze`, and its description in `/docs`."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.analysis.handler import AnalysisHandler
from services.gateway.analysis.parameters import AnalyzeParameters
from services.gateway.analysis.schemas import ANALYZE_EXAMPLES, AnalyzeAnswer, AnalyzeListAnswer, request_schemas
from services.gateway.direct_route import direct_router
from services.gateway.openapi import PICTURE_CONTENT, describe_errors, describe_images

PATH: Final = "/v1/analyze"


def analysis_router(handler: AnalysisHandler) -> APIRouter:
    """A router with the one route.

    Args:
        handler: Handles its requests.
    """

    async def analyze(request: Request) -> Response:
        return await handler(request)

    router = direct_router()
    content: dict[str, Any] = {
        "application/json": {"examples": {name: {"value": example} for name, example in ANALYZE_EXAMPLES.items()}},
        **PICTURE_CONTENT,
    }
    as_text, as_json = request_schemas()
    router.add_api_route(
        PATH,
        analyze,
        methods=["POST"],
        summary="Several tasks for one or more images: classes, objects, poses and masks in one response",
        description=AnalyzeParameters.__doc__,
        operation_id="analyze",
        tags=["predict"],
        responses={
            200: {
                "model": AnalyzeAnswer | AnalyzeListAnswer,
                "description": "The answer of each task, or its error; for a list of images, those of each. Or the "
                "image with all answers drawn on it: for `render=true`, or where `Accept` prefers an image to JSON.",
                "content": content,
            },
            **describe_errors(),
        },
        openapi_extra=describe_images(as_text, as_json, several=True),
    )
    return router
