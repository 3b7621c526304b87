"""Runs an ASGI application, and gRPC services beside it, on free ports of loopback, for tests with real clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc.aio
import uvicorn
from starlette.applications import Starlette


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve `app` from a thread.

    Yields:
        Its address.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving_grpc(app: Starlette, add_services: Callable[[Any], None]) -> Iterator[tuple[str, int]]:
    """Serve `app` and gRPC services from one thread and event loop, as a gateway does.

    Args:
        app: The application.
        add_services: Registers the services at a server.

    Yields:
        The address of the application, and the port of the services.
    """
    ports: list[int] = []

    @asynccontextmanager
    async def with_grpc(app: Any) -> AsyncIterator[Any]:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        add_services(server)
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        async with lifespan(app) as state:
            yield state
        await server.stop(None)

    lifespan, app.router.lifespan_context = app.router.lifespan_context, with_grpc
    with serving(app) as url:
        for _ in range(1000):
            if ports:
                break
            threading.Event().wait(0.01)
        yield url, ports[0]
