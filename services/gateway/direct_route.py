"""A route of the OpenAPI document that bypasses FastAPI's dependency injection."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.requests import Request


class DirectRoute(APIRoute):
    """A route in the OpenAPI document whose endpoint gets the plain request, without FastAPI's dependency injection."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the endpoint itself as the handler."""
        return self.endpoint
