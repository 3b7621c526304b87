"""Streams request bodies into memory, with a cap on the bytes of all bodies and a minimum rate for each.

Only bytes that have arrived are counted; a `Content-Length` reserves nothing. Where the buffered bodies would
exceed their cap, the slowest one that is still arriving is refused.
"""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from services.errors import BodyTooLarge, RequestError, RequestTimeout, UnsupportedContentType
from services.gateway.byte_budget import ByteBudget, Share, TooSlow
from services.gateway.serving.offload import TimeLimit, Workers
from services.settings import Settings

T = TypeVar("T")

RATE_WINDOW_S: Final = 5.0
"""The minimum rate applies to each window of this length, so that a fast start does not make up for a slow rest."""

_INFLATED_AT_A_TIME: Final = 2**20

_ENCODINGS: Final = {"": 0, "identity": 0, "gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": 15}
"""Supported values of `Content-Encoding`, and zlib's window bits of each; 0 is no compression."""


class Body:
    """The body of one request, as far as it has arrived.

    Args:
        request: The request; its body is not yet read.
        share: Counts its bytes.
        workers: Threads for work that would block the event loop.
        min_rate_bytes: Minimum rate in bytes a second; 0: none.
    """

    def __init__(self, request: Request, share: Share, workers: Workers, min_rate_bytes: int) -> None:
        self.request = request
        self._share = share
        self._workers = workers
        self._min_rate_bytes = min_rate_bytes

    async def read(self, max_bytes: int, what: str) -> bytes:
        """Read the whole body, and decompress it.

        Args:
            max_bytes: Cap on the bytes, before and after decompression.
            what: Name of the content, for messages.

        Raises:
            BodyTooLarge: it is larger than the cap.
            UnsupportedContentType: its `Content-Encoding` is not supported.
            RequestError: it cannot be decompressed.
            RequestTimeout: it arrives too slowly.
            Overloaded: all bodies together are too large.
            ClientDisconnect: the client has gone.
        """
        coding = self.request.headers.get("content-encoding", "").strip().lower()
        if coding not in _ENCODINGS:
            message = f"content encoding {coding[:80]} is not read here; send gzip, deflate or identity"
            raise UnsupportedContentType(message, {"known": ["gzip", "deflate", "identity"]})
        too_large = BodyTooLarge(f"the {what} is larger than {max_bytes} bytes", {"max_bytes": max_bytes})
        declared = self.request.headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > max_bytes):
            raise too_large
        body = await self._receive_all(max_bytes, too_large)
        if not _ENCODINGS[coding]:
            return body
        inflated = await self._workers.run(lambda: _inflated(body, _ENCODINGS[coding], max_bytes))
        if inflated is None:
            raise too_large
        self._share.hold(len(inflated))
        return inflated

    async def work(self, work: Callable[[], T], limit: TimeLimit) -> T:
        """Run work on the body in a thread; see `Workers.run`."""
        return await self._workers.run(work, limit)

    async def _receive_all(self, max_bytes: int, too_large: BodyTooLarge) -> bytes:
        window_end, window_bytes = time.monotonic() + RATE_WINDOW_S, 0
        chunk, more = await self._receive(RATE_WINDOW_S)
        if not more and len(chunk) <= max_bytes:
            self._share.hold(len(chunk))
            return chunk
        # BytesIO grows in place and hands its bytes out uncopied: joining 64 MiB stops the event loop for 40 ms
        file = io.BytesIO()
        while True:
            if file.tell() + len(chunk) > max_bytes:
                raise too_large
            self._share.hold(len(chunk))
            self._share.moved += len(chunk)
            file.write(chunk)
            if not more:
                return file.getvalue()
            window_bytes += len(chunk)
            if window_bytes >= self._min_rate_bytes * RATE_WINDOW_S:
                window_end, window_bytes = time.monotonic() + RATE_WINDOW_S, 0
            chunk, more = await self._receive(window_end - time.monotonic())

    async def _receive(self, patience_s: float) -> tuple[bytes, bool]:
        """The next chunk, and whether more will come."""
        try:
            message = await self._share.wait_for(self.request.receive(), patience_s if self._min_rate_bytes else None)
        except TooSlow:
            raise RequestTimeout(
                f"the body came more slowly than {self._min_rate_bytes} bytes a second",
                {"min_rate_bytes": self._min_rate_bytes},
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message.get("body", b""), message.get("more_body", False)


class Bodies:
    """All request bodies that one gateway holds.

    Args:
        settings: Cap on their bytes, and minimum rate.
        workers: Threads for work that would block the event loop.
    """

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self._workers = workers
        self._min_rate_bytes = settings.min_body_rate_bytes
        self._budget = ByteBudget(settings.max_buffered_bytes, "request bodies")

    @contextmanager
    def open(self, request: Request) -> Generator[Body]:
        """The body of a request, whose bytes count until the end of the block."""
        share = Share(self._budget)
        try:
            yield Body(request, share, self._workers, self._min_rate_bytes)
        finally:
            share.close()

    @contextmanager
    def hold(self, size: int) -> Generator[None]:
        """Count the bytes of a request that has arrived whole, until the end of the block.

        Raises:
            Overloaded: all requests together are too large.
        """
        share = Share(self._budget)
        try:
            share.hold(size)
            yield
        finally:
            share.close()


def _inflated(body: bytes, window_bits: int, max_bytes: int) -> bytes | None:
    """Decompresses a body; None where the result is larger than the cap."""
    if window_bits == zlib.MAX_WBITS and body[:1] and body[0] & 0x0F != 8:
        window_bits = -zlib.MAX_WBITS  # many clients send `deflate` without zlib's two bytes, see RFC 9110, 8.4.1.2
    inflater = zlib.decompressobj(window_bits)
    file = io.BytesIO()
    try:
        while not inflater.eof:
            piece = inflater.decompress(body, _INFLATED_AT_A_TIME)
            body = inflater.unconsumed_tail
            if file.tell() + len(piece) > max_bytes:
                return None
            file.write(piece)
            if not piece and not body:
                raise RequestError("the body ends before its content encoding does")
    except zlib.error:
        raise RequestError("the body is not what its content encoding says") from None
    if inflater.unused_data:
        raise RequestError("there are bytes after the end of the compressed body")
    return file.getvalue()
