"""Routes that are found by their path alone, before FastAPI's router: those of predictions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HotRoutes:
    """ASGI middleware around the routes. Other methods and paths go to the routes, which also document these.

    Exceptions of handlers are left to `services.gateway.middleware.RequestMiddleware`, outside of this.

    Attributes:
        app: The routes.
        handlers: Handlers of POST requests, by path; FastAPI's router takes several times as long to find them.
    """

    app: ASGIApp
    handlers: Mapping[str, Handler]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_hot = scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path")
        handler = self.handlers.get(scope["path"]) if is_hot else None
        if handler is None:
            await self.app(scope, receive, send)
            return
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
