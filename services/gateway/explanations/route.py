"""The routes `POST /v1/explain` and `GET /v1/models/{name}/layers`, and their description in `/docs`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.direct_route import direct_router
from services.gateway.explanations.handler import ExplanationHandler
from services.gateway.explanations.layers_handler import LayersHandler
from services.gateway.explanations.layers_schemas import LAYERS_EXAMPLE, LayersAnswer
from services.gateway.explanations.schemas import EXPLAIN_EXAMPLES, ExplainAnswer, ExplainParameters, FeaturesAnswer
from services.gateway.openapi import (
    PICTURE_CONTENT,
    describe_answer,
    describe_errors,
    describe_named,
    describe_one_image,
)

PATH = "/v1/explain"
LAYERS_PATH = "/v1/models/{name:path}/layers"


def explanation_router(explanations: ExplanationHandler, layers: LayersHandler) -> APIRouter:
    """A router with the routes.

    Args:
        explanations: Handles requests for explanations.
        layers: Handles requests for the layers of a network.
    """
    router = direct_router()
    _add_explain(router, explanations)
    _add_layers(router, layers)
    return router


def _add_layers(router: APIRouter, handler: LayersHandler) -> None:
    async def list_layers(request: Request) -> Response:
        """The layers of a model's network: shapes, windows, parameters, receptive fields; and its first filters.

        Listed by the explainer, of the plain float32 network, for the largest input.
        """
        return await handler(request, request.path_params["name"])

    router.add_api_route(
        LAYERS_PATH,
        list_layers,
        methods=["GET"],
        summary="The layers of a network",
        operation_id="layers",
        tags=["explain"],
        responses={
            200: {"model": LayersAnswer, **describe_answer("The layers, in their order.", LAYERS_EXAMPLE)},
            **describe_errors(401, 403, 404, 422, 429, 431, 501, 503, 504),
        },
        openapi_extra=describe_named(None),
    )


def _add_explain(router: APIRouter, handler: ExplanationHandler) -> None:
    async def explain(request: Request) -> Response:
        return await handler(request)

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
