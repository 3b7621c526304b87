"""The routes of the Open Inference Protocol, and their documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi import FastAPI
from starlette.responses import Response

from services.gateway.direct_route import direct_router
from services.gateway.middleware import OPEN_INFERENCE
from services.gateway.open_inference import http_messages
from services.gateway.open_inference.http_front import HttpFront

_NAMES: Final = (
    "`path` is the name of the model, which may have slashes, and perhaps `/versions/VERSION` and one of the words "
    "below. See `docs/open-inference.md`."
)
_ERRORS: Final = {
    400: "The request is not valid or not what the model takes, or an image cannot be read.",
    401: "An API key is required.",
    403: "The API key is not known.",
    404: "There is no such model, or no such version.",
    405: "The path is not for this method.",
    408: "The body came too slowly.",
    409: "The version is in use.",
    413: "The body, an image or the number of images is too large.",
    414: "The path is too long.",
    415: "An image has an unsupported format, or the body an unsupported encoding.",
    429: "The rate limit is exceeded.",
    431: "The headers are too large.",
    503: "The model is not ready, or the server is overloaded.",
    504: "The time limit of the request has passed.",
}
_OF_ALL: Final = (401, 403, 414, 429, 431)
_CHANGES: Final = (400, 404, 408, 409, 413, 415, 503)


def _in_path(name: str) -> dict[str, Any]:
    """The parameter of a route that is part of its path, which FastAPI does not see in a direct route."""
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]}


def _errors(*statuses: int) -> dict[int | str, Any]:
    """The `responses` of a route for the errors of all routes and these."""
    chosen = {status: text for status, text in _ERRORS.items() if status in (*_OF_ALL, *statuses)}
    return {status: {"model": http_messages.ErrorResponse, "description": text} for status, text in chosen.items()}


def add_open_inference(app: FastAPI, front: HttpFront) -> None:
    """Adds the routes of the protocol.

    Args:
        app: The application.
        front: Handles the requests.
    """
    router = direct_router(OPEN_INFERENCE, tags=["open inference protocol"])
    for path, endpoint, method, summary, statuses in (
        ("", front.server, "GET", "Name, version and extensions of the server", ()),
        ("/", front.server, "GET", None, ()),
        ("/models/stats", front.all_statistics, "GET", "Statistics of all models", ()),
        ("/repository/index", front.index, "POST", "The models and their states", (400, 408, 413, 415)),
        ("/repository/models/{name:path}/load", front.load, "POST", "Load a version; for administrators", _CHANGES),
        ("/repository/models/{name:path}/unload", front.unload, "POST", "Unload it; for administrators", _CHANGES),
    ):
        router.add_api_route(
            path,
            endpoint,
            methods=[method],
            summary=summary,
            include_in_schema=summary is not None,
            responses=_errors(*statuses),
            openapi_extra=_in_path("name") if "{name" in path else None,
        )
    for path, endpoint, summary, others in (
        ("/health/live", front.live, "Liveness of the server", {}),
        ("/health/ready", front.ready, "Readiness of the server and its models", {503: {"description": "Not ready."}}),
    ):
        responses = {**_errors(), **others}
        router.add_api_route(path, endpoint, summary=summary, response_class=Response, responses=responses)
    router.add_api_route(
        "/models/{path:path}",
        front.describe,
        methods=["GET"],
        summary="Metadata, readiness (/ready), configuration (/config) or statistics (/stats) of a model",
        description=_NAMES,
        responses=_errors(404, 405, 503),
        openapi_extra=_in_path("path"),
    )
    router.add_api_route(
        "/models/{path:path}",
        front.infer,
        methods=["POST"],
        summary="Inference (/infer)",
        description=f"{_NAMES} The body is JSON, or JSON and binary tensors.",
        responses={200: {"model": http_messages.Response}, **_errors(*_ERRORS)},
        openapi_extra={
            **_in_path("path"),
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _inlined(http_messages.Request.model_json_schema())}},
            },
        },
    )
    app.include_router(router)


def _inlined(schema: Any, parts: Mapping[str, Any] | None = None) -> Any:
    """A JSON schema with its `$defs` in the places that refer to them, as OpenAPI has no `$defs` within a document."""
    if isinstance(schema, list):
        return [_inlined(one, parts) for one in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    given = cast(dict[str, Any], schema)
    known: Mapping[str, Any] = parts or given.get("$defs", {})
    if "$ref" in given:
        return _inlined(known[given["$ref"].rpartition("/")[2]], known)
    return {name: _inlined(value, known) for name, value in given.items() if name != "$defs"}
