"""Admission control: limits the concurrent requests of one gateway."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from services.errors import NotReady, Overloaded
from services.settings import Settings
from services.telemetry import REQUESTS_IN_FLIGHT

DRAINING_FILE = "draining"
"""While this file exists in the stack's run folder, its gateways refuse new requests."""


class ConcurrencyLimiter:
    """Limits the requests in flight in one gateway.

    No request waits here. Images wait for their model only, in `services.gateway.serving.model_calls`: so requests for
    a slow model delay neither those for a fast one nor cache hits.
    """

    def __init__(self, settings: Settings) -> None:
        self._slots = settings.max_concurrent_requests + settings.max_queued_requests
        self._admitted = 0
        self._draining = str(settings.run_dir / DRAINING_FILE) if settings.run_dir else ""

    @property
    def is_draining(self) -> bool:
        """Whether the stack is shutting down; read for each request, and `os.access` is faster than `Path.exists`."""
        return bool(self._draining) and os.access(self._draining, os.F_OK)

    def check(self) -> None:
        """Refuse a request before its body is read.

        Raises:
            NotReady: the stack is shutting down.
            Overloaded: all slots are taken.
        """
        if self.is_draining:
            raise NotReady("the server is stopping")
        if self._admitted >= self._slots:
            raise Overloaded("too many requests at a time", {"requests": self._admitted})

    @contextmanager
    def slot(self) -> Generator[None]:
        """Hold a slot while a request is handled, once its body has been read.

        Raises:
            Overloaded: all slots are taken.
        """
        if self._admitted >= self._slots:
            raise Overloaded("too many requests at a time", {"requests": self._admitted})
        self._admitted += 1
        REQUESTS_IN_FLIGHT.inc()
        try:
            yield
        finally:
            self._admitted -= 1
            REQUESTS_IN_FLIGHT.dec()
