"""How much one gateway takes in at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.requests import Request

from services.errors import NotReady, Overloaded
from services.settings import Settings
from services.telemetry import REQUESTS_IN_FLIGHT

DRAINING_FILE = "draining"
"""While this file is in the stack's run folder, its gateways take no new requests."""


class Admission:
    """Bounds what one gateway has in hand: requests, and the bytes of their bodies.

    Nobody waits here. A request waits for its model only, in `services.gateway.model_calls`: so requests for a slow
    model hold up neither those for a fast one nor those that the cache answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = settings.max_concurrent_requests + settings.max_queued_requests
        self._admitted = 0
        self._bytes = 0
        self._draining = settings.run_dir / DRAINING_FILE if settings.run_dir else None

    @property
    def is_draining(self) -> bool:
        """Whether the stack is about to stop."""
        return self._draining is not None and self._draining.exists()

    @asynccontextmanager
    async def enter(self, request: Request) -> AsyncGenerator[None]:
        """Hold a place while a request is worked on.

        Raises:
            NotReady: the stack is stopping.
            Overloaded: there is no place.
        """
        if self.is_draining:
            raise NotReady("the server is stopping")
        size = self._expected_bytes(request)
        if self._admitted >= self._places or (self._bytes and self._bytes + size > self._settings.max_buffered_bytes):
            raise Overloaded("too many requests at a time", {"requests": self._admitted})
        self._admitted += 1
        self._bytes += size
        REQUESTS_IN_FLIGHT.inc()
        try:
            yield
        finally:
            self._admitted -= 1
            self._bytes -= size
            REQUESTS_IN_FLIGHT.dec()

    def _expected_bytes(self, request: Request) -> int:
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdigit() else self._settings.max_image_bytes
        return min(size, self._settings.max_body_bytes)
