"""`GET /` and `GET /playground/{file}`: the page and its parts, for every browser that can reach the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.playground.static_files import PAGE, StaticFile, read_static_files

PREFIX: Final = "/playground"
"""Path of the parts of the page."""

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Scripts, styles and requests of this origin only, none of them inline; no markup from text; no frames.

Source: https://www.w3.org/TR/CSP3/ and https://www.w3.org/TR/trusted-types/
"""

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every response here."""


def playground_routes() -> list[Route]:
    """The routes; they are not part of the API, so `/docs` does not list them."""
    files = read_static_files()

    async def show_page(request: Request) -> Response:
        return respond(request, files[PAGE])

    async def send_file(request: Request) -> Response:
        file = files.get(request.path_params["file"])
        if file is None:
            raise HTTPException(404)
        return respond(request, file)

    return [Route("/", show_page, methods=["GET"]), Route(f"{PREFIX}/{{file}}", send_file, methods=["GET"])]


def public_paths() -> frozenset[str]:
    """Paths that need no API key: the page asks for it, and sends it with its own requests."""
    return frozenset({"/", *(f"{PREFIX}/{name}" for name in read_static_files())})


def respond(request: Request, file: StaticFile) -> Response:
    """The response with a file: compressed where the client accepts it, and 304 where it has it already."""
    headers = {
        **SECURITY_HEADERS,
        "etag": file.entity_tag,
        "cache-control": "no-cache",  # asks each time whether it has changed: the parts must fit each other
        "vary": "Accept-Encoding",
    }
    if file.entity_tag in _listed(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    body = file.body
    if file.compressed is not None and _accepts_gzip(request.headers.get("accept-encoding", "")):
        body = file.compressed
        headers["content-encoding"] = "gzip"
    return Response(body, media_type=file.media_type, headers=headers)


def _listed(header: str) -> list[str]:
    return [part.strip() for part in header.split(",")]


def _accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
