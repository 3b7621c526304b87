"""One HTTP/1.1 connection of a load generator: sends a request, and hands over its response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol, cast

from loadtests.http_response import MalformedResponse, Response, ResponseParser


class Requests(Protocol):
    """Requests one after the other, of which one at a time is in flight: a connection of HTTP, or calls of gRPC.

    Attributes:
        is_waiting: Whether a request is in flight.
        is_open: Whether another request can be sent.
        sent_at: When the latest request was sent, on the clock of `time.perf_counter`.
    """

    is_waiting: bool
    is_open: bool
    sent_at: float

    def send(self, request: Sequence[bytes]) -> None:
        """Send a request, given in the pieces of one write; none may be in flight."""
        ...

    def close(self) -> None:
        """Send no more; a request in flight is given up."""
        ...


class Caller(Protocol):
    """Whose connection it is. Every request that was sent ends in `answered` or `failed`, or in `Requests.close`."""

    def opened(self, connection: Requests) -> None:
        """The connection is open."""
        ...

    def answered(self, connection: Requests, response: Response) -> None:
        """The request that was in flight has its response; the connection is closed already if it is not kept alive."""
        ...

    def failed(self, connection: Requests, kind: str, text: str) -> None:
        """The request that was in flight has none: `kind` is `malformed` or `connection`, `text` says more."""
        ...

    def lost(self, connection: Requests) -> None:
        """The connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """One connection with at most one request in flight.

    Args:
        caller: Hears of what happens on it.

    Attributes:
        is_waiting: Whether a request is in flight.
        is_open: Whether the connection can carry another request.
        sent_at: When the latest request was sent, on the clock of `time.perf_counter`.
    """

    def __init__(self, caller: Caller) -> None:
        self.is_waiting = False
        self.is_open = False
        self.sent_at = 0.0
        self._caller = caller
        self._parser = ResponseParser()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own class has no base of asyncio's
        self.is_open = True
        self._caller.opened(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            response = self._parser.feed(data)
        except MalformedResponse as error:
            self._fail("malformed", str(error))
            self.close()
            return
        if response is None:
            return
        self.is_waiting = False
        if not response.keep_alive:
            self.close()
        self._caller.answered(self, response)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`; a request in flight has failed."""
        self.is_open = False
        if self.is_waiting:
            self._fail("connection", str(exc or "closed before the response"))
        self._caller.lost(self)

    def send(self, request: Sequence[bytes]) -> None:
        """Send a request, given in the pieces of one write; none may be in flight."""
        assert self._transport is not None and not self.is_waiting
        self.is_waiting = True
        self.sent_at = time.perf_counter()
        self._transport.writelines(request)

    def close(self) -> None:
        """Close the connection; a request in flight is given up."""
        self.is_open = self.is_waiting = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, kind: str, text: str) -> None:
        self.is_waiting = False
        self._caller.failed(self, kind, text)
