"""Runs an ASGI application on a free port of loopback, and calls model hosts without Ray between them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from services.answers.wire import Item, Outcome
from services.deployments.host import ModelHost


class HostBackend:
    """Calls a model host without Ray between them, and counts the images."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host
        self.images = 0

    async def predict(self, items: list[Item]) -> Sequence[Outcome]:
        self.images += len(items)
        return await self._host.predict(items)

    async def describe(self) -> list[dict[str, Any]]:
        return self._host.describe()


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
