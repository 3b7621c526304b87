"""Cancels the work on a request when its client disconnects."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from starlette.requests import ClientDisconnect, Request

WATCHED_AFTER_S: Final = 0.02
"""Work that takes no longer is not watched: a task for each request would cost more than it saves."""


class EndedWithClient:
    """A context manager that cancels its block when the client disconnects.

    Args:
        request: Its body has been read, so that the next message is the disconnect.

    Raises:
        ClientDisconnect: the client has gone.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._watcher: asyncio.Task[None] | None = None
        self._has_gone = False

    def __enter__(self) -> None:
        """Begin to watch soon."""
        handler = asyncio.current_task()
        assert handler is not None
        self._handler = handler
        self._start = asyncio.get_running_loop().call_later(WATCHED_AFTER_S, self._watch_soon)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the watch."""
        self._start.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            if kind is asyncio.CancelledError and self._has_gone and not self._handler.uncancel():
                raise ClientDisconnect from None

    def _watch_soon(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._has_gone = True
        self._handler.cancel()
