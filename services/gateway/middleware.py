"""ASGI middleware for every request: request id, API key, rate limit, and JSON errors."""

from __future__ import annotations

import math
import re
import secrets
from dataclasses import dataclass
from typing import Final

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import HeadersTooLarge, ServiceError, UrlTooLong
from services.gateway.access import Access

log = structlog.get_logger()

OPEN_INFERENCE = "/v2"
"""Path of the Open Inference Protocol."""
PROBES = frozenset(
    {"/healthz", "/readyz", "/metrics", f"{OPEN_INFERENCE}/health/live", f"{OPEN_INFERENCE}/health/ready"}
)
DOCUMENT_ASSETS = "/docs-assets"
"""Folder of the scripts and styles of `/docs`."""
DOCUMENTS = frozenset({"/docs", "/openapi.json", "/docs/oauth2-redirect", DOCUMENT_ASSETS})
_OPEN = PROBES | DOCUMENTS
"""Paths that may require no key."""

MAX_URL_BYTES: Final = 2**13
MAX_HEADERS: Final = 128
MAX_HEADER_BYTES: Final = 2**15

_REQUEST_ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class RequestMiddleware:
    """ASGI middleware of the whole application.

    Attributes:
        app: The application.
        access: Lets clients in.
        echo_request_id: Whether to send `X-Request-ID`; Ray Serve does that itself.
        public_paths: Paths that never need a key, and do not count towards the rate limit.
    """

    app: ASGIApp
    access: Access
    echo_request_id: bool = True
    public_paths: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = make_request_id(headers.get("x-request-id"))
        scope.setdefault("state", {}).update(request_id=request_id, tenant="", admin=False)
        is_head = scope["method"] == "HEAD"
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if self.echo_request_id:
                    MutableHeaders(scope=message)["x-request-id"] = request_id
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        async def answer_with(error: ServiceError) -> None:
            await error_response(error, request_id, scope["path"])(scope, receive, send_with_id)

        try:
            check_size(scope)
            await self._let_in(scope, headers)
            # what is answered to GET is answered to HEAD, without the body
            await self.app({**scope, "method": "GET"} if is_head else scope, receive, send_with_id)
        except ClientDisconnect:
            log.debug("client disconnected", request_id=request_id)
        except ServiceError as error:
            if started:
                raise
            await answer_with(error)
        except Exception:
            log.exception("request failed", request_id=request_id)
            if started:
                raise
            await answer_with(ServiceError("something went wrong here"))

    async def _let_in(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        if path in self.public_paths:
            return
        if self.access.open_probes and (path in _OPEN or path.startswith(f"{DOCUMENT_ASSETS}/")):
            return
        scope["state"]["tenant"] = await self.access.check(headers, _address(scope), is_counted=path not in PROBES)
        scope["state"]["admin"] = self.access.keys.is_admin(headers)


def check_size(scope: Scope) -> None:
    """Refuse a request whose URL or headers are too large.

    Raises:
        UrlTooLong: path and query are above `MAX_URL_BYTES`.
        HeadersTooLarge: the headers are above `MAX_HEADERS` or `MAX_HEADER_BYTES`.
    """
    if len(scope["query_string"]) + len(scope["path"]) > MAX_URL_BYTES:
        raise UrlTooLong(f"the path and the query have more than {MAX_URL_BYTES} bytes", {"max_bytes": MAX_URL_BYTES})
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS:
        raise HeadersTooLarge(f"there are more than {MAX_HEADERS} header fields", {"max_headers": MAX_HEADERS})
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"the headers have more than {MAX_HEADER_BYTES} bytes", {"max_bytes": MAX_HEADER_BYTES})


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    request_id = make_request_id(Headers(scope=scope).get("x-request-id"))
    refusal = error_response(
        _coded(404, "not_found", "there are no WebSockets here; see /docs"), request_id, scope["path"]
    )
    refusal.headers["x-request-id"] = request_id
    if "websocket.http.response" in scope.get("extensions", {}):
        await refusal(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": "there are no WebSockets here"})


def make_request_id(given: str | None) -> str:
    """The client's `X-Request-ID` where it is 1 to 128 visible ASCII characters, else a new id."""
    return given if given and is_request_id(given) else secrets.token_hex(8)


def is_request_id(given: str) -> bool:
    """Whether this is a valid request id: 1 to 128 visible ASCII characters."""
    return _REQUEST_ID.fullmatch(given) is not None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


def error_response(error: ServiceError, request_id: str | None, path: str = "") -> Response:
    """The HTTP response of an error: its status, and `{"error": {"code", "message", "request_id", "details"}}`.

    Below `/v2` it is `{"error": message}`, as the Open Inference Protocol has it, and 422 is 400, as from Triton.
    """
    headers = {"cache-control": "no-store"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 408:  # the rest of its body is not waited for
        headers["connection"] = "close"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    is_open_inference = path == OPEN_INFERENCE or path.startswith(f"{OPEN_INFERENCE}/")
    body = {"error": error.message if is_open_inference else {**error.to_dict(), "request_id": request_id}}
    status = 400 if is_open_inference and error.status == 422 else error.status
    return Response(orjson.dumps(body, default=str), status_code=status, media_type="application/json", headers=headers)


async def routing_error(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405 as JSON errors; and the allowed methods of a path, for OPTIONS."""
    assert isinstance(error, HTTPException)
    if request.method == "OPTIONS" and error.status_code == 405:
        return Response(status_code=204, headers=error.headers)
    path = request.url.path[:200]
    codes = {
        404: ("not_found", f"there is nothing at {path}; see /docs"),
        405: ("method_not_allowed", f"{request.method} is not for {path}; see /docs"),
    }
    code, message = codes.get(error.status_code, ("http_error", error.detail))
    response = error_response(_coded(error.status_code, code, message), request.state.request_id, path)
    response.headers.update(error.headers or {})
    return response


def _coded(status: int, code: str, message: str) -> ServiceError:
    error = ServiceError(message)
    error.status, error.code = status, code
    return error
