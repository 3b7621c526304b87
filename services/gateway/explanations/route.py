"""The route of `POST /v1/explain`, and its description in `/docs`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.direct_route import direct_router
from services.gateway.explanations.handler import ExplanationHandler
from services.gateway.explanations.schemas import EXPLAIN_EXAMPLES, ExplainAnswer, ExplainParameters, FeaturesAnswer
from services.gateway.openapi import PICTURE_CONTENT, describe_errors, describe_one_image

PATH = "/v1/explain"


def explanation_router(handler: ExplanationHandler) -> APIRouter:
    """A router with the one route.

    Args:
        handler: Handles its requests.
    """

    async def explain(request: Request) -> Response:
        return await handler(request)

    router = direct_router()
    router.add_api_route(
        PATH,
        explain,
        methods=["POST"],
        summary="Which parts of an image count towards a prediction",
        description=ExplainParameters.__doc__,
        operation_id="explain",
        tags=["explain"],
        responses={
            200: {
                "model": ExplainAnswer | FeaturesAnswer,
                "description": "The map as numbers; or as a picture: for `format=heatmap`, `format=overlay` and "
                "`render=true`, or where `Accept` prefers an image to JSON.",
                "content": {
                    "application/json": {
                        "examples": {name: {"value": example} for name, example in EXPLAIN_EXAMPLES.items()}
                    },
                    **PICTURE_CONTENT,
                },
            },
            **describe_errors(400, 401, 403, 404, 406, 408, 413, 414, 415, 422, 429, 431, 501, 503, 504),
        },
        openapi_extra=describe_one_image(ExplainParameters),
    )
    return router
