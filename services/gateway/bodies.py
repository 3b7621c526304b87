"""Request bodies: read as they arrive, booked byte by byte, and ended where they come too slowly.

Only bytes that have arrived are booked: what a client declares costs nobody anything. Where the bodies in hand would
exceed their cap, the slowest one that is still arriving is refused.
"""

from __future__ import annotations

import asyncio
import io
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from operator import attrgetter
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from services.errors import BodyTooLarge, Overloaded, RequestError, RequestTimeout, UnsupportedContentType
from services.gateway.offload import TimeLimit, Workers
from services.settings import Settings

T = TypeVar("T")

RATE_WINDOW_S: Final = 5.0
"""The least rate holds over each such span, so that a fast start is no credit for a slow rest."""

_INFLATED_AT_A_TIME: Final = 2**20

_ENCODINGS: Final = {"": 0, "identity": 0, "gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": 15}
"""Content codings that are read, and zlib's window bits of each; 0 is none."""


class Body:
    """The body of one request, as far as it has arrived.

    Args:
        bodies: Where its bytes are booked.
        request: The request; its body is not yet read.
    """

    def __init__(self, bodies: Bodies, request: Request) -> None:
        self._bodies = bodies
        self._request = request
        self._started_at = time.monotonic()
        self._limit: asyncio.Timeout | None = None
        self._is_refused = False
        self.size = 0

    @property
    def request(self) -> Request:
        """The request."""
        return self._request

    async def read(self, max_bytes: int, what: str) -> bytes:
        """Read all of it, and undo its content coding.

        Args:
            max_bytes: Cap on the bytes, before and after the coding is undone.
            what: What the bytes are, for messages.

        Raises:
            BodyTooLarge: it is larger than the cap.
            UnsupportedContentType: its content coding is not read here.
            RequestError: it is not what its content coding says.
            RequestTimeout: it comes too slowly.
            Overloaded: all bodies together are too large.
            ClientDisconnect: the client has gone.
        """
        coding = self._request.headers.get("content-encoding", "").strip().lower()
        if coding not in _ENCODINGS:
            known = "gzip, deflate, identity"
            raise UnsupportedContentType(f"content encoding {coding[:80]} is not read here; send {known}")
        too_large = BodyTooLarge(f"the {what} is larger than {max_bytes} bytes", {"max_bytes": max_bytes})
        declared = self._request.headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > max_bytes):
            raise too_large
        body = await self._receive_all(max_bytes, too_large)
        if not _ENCODINGS[coding]:
            return body
        return await self._inflate(body, _ENCODINGS[coding], max_bytes, too_large)

    async def _receive_all(self, max_bytes: int, too_large: BodyTooLarge) -> bytes:
        chunk, more = await self._receive(RATE_WINDOW_S)
        if not more:
            self._book(len(chunk), max_bytes, too_large)
            return chunk
        # BytesIO grows in place and hands its bytes out uncopied: joining 64 MiB stops the event loop for 40 ms
        file = io.BytesIO()
        window_end, window_bytes = self._started_at + RATE_WINDOW_S, 0
        while True:
            self._book(len(chunk), max_bytes, too_large)
            file.write(chunk)
            window_bytes += len(chunk)
            if not more:
                return file.getvalue()
            if window_bytes >= self._bodies.min_rate_bytes * RATE_WINDOW_S:
                window_end, window_bytes = time.monotonic() + RATE_WINDOW_S, 0
            chunk, more = await self._receive(window_end - time.monotonic())

    async def _receive(self, patience_s: float) -> tuple[bytes, bool]:
        """The next chunk, and whether more will come."""
        try:
            async with asyncio.timeout(patience_s if self._bodies.min_rate_bytes else None) as self._limit:
                message = await self._request.receive()
        except TimeoutError:
            if self._is_refused:
                raise _too_many_bytes() from None
            raise RequestTimeout(
                f"the body came more slowly than {self._bodies.min_rate_bytes} bytes a second",
                {"min_rate_bytes": self._bodies.min_rate_bytes},
            ) from None
        finally:
            self._limit = None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message.get("body", b""), message.get("more_body", False)

    def _book(self, size: int, max_bytes: int, too_large: BodyTooLarge) -> None:
        if self.size + size > max_bytes:
            raise too_large
        self._bodies.book(self, size)

    @property
    def rate(self) -> float:
        """Bytes a second since the request came."""
        return self.size / max(time.monotonic() - self._started_at, 1e-3)

    @property
    def is_arriving(self) -> bool:
        """Whether it waits for more bytes."""
        return self._limit is not None and not self._limit.expired() and not self._is_refused

    def refuse(self) -> None:
        """End the wait for more bytes with `Overloaded`."""
        if self.is_arriving and self._limit is not None:
            self._is_refused = True
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def work(self, work: Callable[[], T], limit: TimeLimit) -> T:
        """Do something with it in a thread; see `Workers.run`."""
        return await self._bodies.workers.run(work, limit)

    async def _inflate(self, body: bytes, window_bits: int, max_bytes: int, too_large: BodyTooLarge) -> bytes:
        inflated = await self._bodies.workers.run(lambda: _inflated(body, window_bits, max_bytes))
        if inflated is None:
            raise too_large
        self._book(max(0, len(inflated) - len(body)), max_bytes, too_large)
        return inflated


class Bodies:
    """All request bodies that one gateway holds.

    Args:
        settings: Cap on their bytes, and the least rate.
        workers: Inflate what is compressed.
    """

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self.workers = workers
        self.min_rate_bytes = settings.min_body_rate_bytes
        self._max_bytes = settings.max_buffered_bytes
        self._bytes = 0
        self._open: set[Body] = set()

    @contextmanager
    def open(self, request: Request) -> Generator[Body]:
        """The body of a request, whose bytes count until the end of the block."""
        body = Body(self, request)
        self._open.add(body)
        try:
            yield body
        finally:
            self._open.discard(body)
            self._bytes -= body.size

    def book(self, body: Body, size: int) -> None:
        """Count bytes of a body.

        Raises:
            Overloaded: there is no room for them, and no slower body is arriving.
        """
        if self._bytes + size > self._max_bytes and self._bytes > 0:
            slowest = min(
                (one for one in self._open if one.is_arriving and one.size), key=attrgetter("rate"), default=None
            )
            if slowest is None or slowest.rate >= body.rate or slowest.size < size:
                raise _too_many_bytes()
            slowest.refuse()
        body.size += size
        self._bytes += size


def _too_many_bytes() -> Overloaded:
    return Overloaded("too many bytes of request bodies at a time")


def _inflated(body: bytes, window_bits: int, max_bytes: int) -> bytes | None:
    """What a compressed body holds; None where that is more than the cap."""
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
        raise RequestError("something stands behind the compressed body")
    return file.getvalue()
