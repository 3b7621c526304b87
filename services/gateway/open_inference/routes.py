"""The routes of the Open Inference Protocol, and their documentation."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from services.gateway.direct_route import direct_router
from services.gateway.middleware import OPEN_INFERENCE
from services.gateway.open_inference import http_messages
from services.gateway.open_inference.http_front import HttpFront

_NAMES: Final = (
    "`path` is the name of the model, which may have slashes, and perhaps `/versions/VERSION` and one of the words "
    "below. See `docs/open-inference.md`."
)
_ERRORS: Final[dict[int | str, Any]] = {
    status: {"description": text, "content": {"application/json": {"example": {"error": example}}}}
    for status, text, example in (
        (400, "The request is not valid, or an image cannot be read.", "the body is not JSON: unexpected end of data"),
        (404, "There is no such model, or no such version.", "no model 'x' is served; there are: efficientnet-lite0"),
        (422, "An input, an output or a parameter is not what the model has.", "unexpected input 'x'"),
        (503, "The model is not ready, or the server is overloaded.", "efficientnet-lite0 is still being loaded"),
    )
}


def add_open_inference(app: FastAPI, front: HttpFront) -> None:
    """Adds the routes of the protocol.

    Args:
        app: The application.
        front: Handles the requests.
    """
    router = direct_router(OPEN_INFERENCE, tags=["open inference protocol"])
    for path, endpoint, method, summary in (
        ("", front.server, "GET", "Name, version and extensions of the server"),
        ("/", front.server, "GET", None),
        ("/health/live", front.live, "GET", "Liveness of the server"),
        ("/health/ready", front.ready, "GET", "Readiness of the server and its models"),
        ("/models/stats", front.all_statistics, "GET", "Statistics of all models"),
        ("/repository/index", front.index, "POST", "The models and their states"),
        ("/repository/models/{name:path}/load", front.load, "POST", "Load a version of a model; for administrators"),
        ("/repository/models/{name:path}/unload", front.unload, "POST", "Unload a version; for administrators"),
    ):
        router.add_api_route(path, endpoint, methods=[method], summary=summary, include_in_schema=summary is not None)
    router.add_api_route(
        "/models/{path:path}",
        front.describe,
        methods=["GET"],
        summary="Metadata, readiness (/ready), configuration (/config) or statistics (/stats) of a model",
        description=_NAMES,
        responses=_ERRORS,
    )
    router.add_api_route(
        "/models/{path:path}",
        front.infer,
        methods=["POST"],
        summary="Inference (/infer)",
        description=f"{_NAMES} The body is JSON, or JSON and binary tensors.",
        responses={200: {"model": http_messages.Response}, **_ERRORS},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": http_messages.Request.model_json_schema()}},
            }
        },
    )
    app.include_router(router)
