"""Sends large responses in chunks, within a cap on the bytes that are buffered and a time limit for slow readers.

An ASGI server accepts a whole body at once and buffers what the client has not read. So a large body is sent in chunks,
each after the previous one has been read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import Overloaded
from services.gateway.byte_budget import ByteBudget, Share, TooSlow

PIECE_BYTES: Final = 2**18
"""Size of a chunk; a smaller response is sent at once."""


@dataclass(frozen=True, slots=True)
class ChunkedResponses:
    """ASGI middleware around the routes.

    Attributes:
        app: The routes.
        budget: Caps the bytes of large responses that are buffered.
        timeout_s: Time in which the client must read a chunk.
    """

    app: ASGIApp
    budget: ByteBudget
    timeout_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            Overloaded: the cap is reached; nothing has been sent yet.
            ClientDisconnect: the client read too slowly, or its bytes were needed for a faster one; it is disconnected.
        """
        share: Share | None = None

        async def send_in_pieces(message: Message) -> None:
            nonlocal share
            if message["type"] == "http.response.start":
                size = _length_of(message)
                if size > PIECE_BYTES:
                    share = Share(self.budget)
                    share.hold(size)
            if share is None or message["type"] != "http.response.body":
                await send(message)
            else:
                await self._send_pieces(share, message, send)

        try:
            await self.app(scope, receive, send_in_pieces if scope["type"] == "http" else send)
        finally:
            if share is not None:
                share.close()

    async def _send_pieces(self, share: Share, message: Message, send: Send) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        for first in range(0, max(1, len(body)), PIECE_BYTES):
            piece = body[first : first + PIECE_BYTES]
            is_last = not more and first + PIECE_BYTES >= len(body)
            part = {"type": "http.response.body", "body": piece, "more_body": not is_last}
            try:
                await share.wait_for(send(part), self.timeout_s)
            except (TooSlow, Overloaded):  # the status line is sent, so that no error can follow
                raise ClientDisconnect from None
            share.moved += len(piece)


def _length_of(start: Message) -> int:
    """The `Content-Length` of a response, if it is known."""
    for name, value in start["headers"]:
        if name == b"content-length":
            return int(value)
    return 0
