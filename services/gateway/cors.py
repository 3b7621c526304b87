"""Cross-origin resource sharing (CORS): the origins whose web pages may call the API from a browser.

Source: the Fetch standard, https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from services.errors import Forbidden
from services.gateway.middleware import error_response, make_request_id


class Cors(CORSMiddleware):
    """CORS middleware: answers preflight requests, which carry no key, and adds the allowed origin to every response.

    Args:
        app: The application.
        origins: Like `https://example.org`; `*` is every one.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "OPTIONS"),
            allow_headers=("*",),
            expose_headers=(
                "X-Request-ID",
                "Server-Timing",
                "Retry-After",
                "ETag",
                "X-Tapetum-Model",
                "X-Tapetum-Cached",
            ),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The response to a preflight request; a refusal is an error body like any other."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        refusal = Forbidden("this origin, method or header is not allowed (TAPETUM_CORS_ORIGINS)")
        return error_response(refusal, make_request_id(request_headers.get("x-request-id")))
