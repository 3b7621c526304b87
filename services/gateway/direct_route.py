"""Routes in the OpenAPI document that FastAPI does not parse requests for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class DirectRoute(APIRoute):
    """A route in the OpenAPI document whose endpoint gets the plain request, without FastAPI's dependency injection."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the endpoint itself as the handler."""
        return self.endpoint


def direct_router(prefix: str = "", tags: list[Any] | None = None) -> APIRouter:
    """A router of such routes.

    Args:
        prefix: Of their paths.
        tags: Of all of them.
    """
    return APIRouter(prefix=prefix, tags=tags, route_class=DirectRoute)
