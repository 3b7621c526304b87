"""What goes around every request: its id, its key, its rate, and the one shape of an error."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import ServiceError
from services.gateway.limits import ApiKeys, RateLimiter

log = structlog.get_logger()

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
DOCUMENTS = frozenset({"/docs", "/openapi.json", "/docs/oauth2-redirect"})
DOCUMENT_ASSETS = "/docs-assets"
"""Folder of the scripts and styles of `/docs`."""
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """ASGI middleware around the whole application.

    Attributes:
        app: The application.
        keys: Who is let in.
        limiter: How often; None is as often as they like.
        open_paths: What answers without a key.
        echo_request_id: Whether to send `X-Request-ID`; Ray Serve does that itself.
    """

    app: ASGIApp
    keys: ApiKeys
    limiter: RateLimiter | None
    open_paths: frozenset[str]
    echo_request_id: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = make_request_id(headers.get("x-request-id"))
        scope.setdefault("state", {}).update(request_id=request_id, tenant="")
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if self.echo_request_id:
                    MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._let_in(scope, headers)
            await self.app(scope, receive, send_with_id)
        except ServiceError as error:
            if started:
                raise
            await error_response(error, request_id)(scope, receive, send_with_id)
        except Exception:
            log.exception("request failed", request_id=request_id)
            if started:
                raise
            await error_response(ServiceError("something went wrong here"), request_id)(scope, receive, send_with_id)

    async def _let_in(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        if path in self.open_paths or path.startswith(f"{DOCUMENT_ASSETS}/"):
            return
        client = scope["state"]["tenant"] = self.keys.check(headers)
        if self.limiter is not None and path not in PROBES:
            await self.limiter.check(client or _address(scope))


def make_request_id(given: str | None) -> str:
    """The client's own id where it is up to 128 visible ASCII characters, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


def error_response(error: ServiceError, request_id: str | None) -> Response:
    """An error as HTTP: its status, and `{"error": {"code", "message", "request_id", "details"}}`."""
    headers = {"cache-control": "no-store"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = {"error": {**error.to_dict(), "request_id": request_id}}
    return Response(
        orjson.dumps(body, default=str), status_code=error.status, media_type="application/json", headers=headers
    )


async def routing_error(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in the shape of all other errors."""
    assert isinstance(error, HTTPException)
    codes = {404: ("not_found", f"there is nothing at {request.url.path[:200]}; see /docs")}
    codes[405] = ("method_not_allowed", f"{request.method} is not for {request.url.path[:200]}; see /docs")
    code, message = codes.get(error.status_code, ("http_error", error.detail))
    translated = ServiceError(message)
    translated.status, translated.code = error.status_code, code
    response = error_response(translated, request.state.request_id)
    response.headers.update(error.headers or {})
    return response
