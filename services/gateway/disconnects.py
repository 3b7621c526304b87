"""Cancels the work on a request when its client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request


@asynccontextmanager
async def ended_with_client(request: Request) -> AsyncGenerator[None]:
    """Cancel the block when the client disconnects.

    Args:
        request: Its body has been read, so that the next message is the disconnect.

    Raises:
        ClientDisconnect: the client has gone.
    """
    handler = asyncio.current_task()
    assert handler is not None
    has_gone = False

    async def watch() -> None:
        nonlocal has_gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        has_gone = True
        handler.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if has_gone and not handler.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()
