"""Raw requests over sockets: each gets at most the responses that it may, in the one shape, and the connection ends."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any, cast

from loadtests.hardening.composing import RawRequest
from loadtests.hardening.raw_requests import raw_requests
from loadtests.hardening.shape import response_problem
from loadtests.hardening.stack import Target
from loadtests.hardening.verdict import Verdict
from loadtests.hardening.watcher import watching
from loadtests.processes import LOOPBACK

PATIENCE_S = 25.0
"""A connection that is still open then is one that a stranger can hold."""

THREADS = 8
MAX_EXAMPLES = 12
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] \d{3} ")


@dataclass(frozen=True)
class Response:
    """A response taken from a stream."""

    status: int
    headers: dict[str, str]
    body: bytes


def check_sockets(target: Target) -> list[Verdict]:
    """Send every raw request."""
    requests = raw_requests()
    with watching(target.port) as watched, ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda request: _try(target.port, request), requests))
    problems = [f"{request.name}: {problem}" for request, (_, problem) in zip(requests, found, strict=True) if problem]
    statuses = Counter(outcome for outcomes, _ in found for outcome in outcomes or ["closed"])
    listed = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
    return [
        Verdict(
            "sockets",
            f"{len(requests)} malformed or odd requests as raw bytes",
            f"{listed}; {watched}",
            not problems and not watched.failures,
            tuple(problems[:MAX_EXAMPLES]),
        )
    ]


def _try(port: int, request: RawRequest) -> tuple[list[str], str | None]:
    started_at = time.monotonic()
    received, closed = exchange(port, request.data, hangs_up=request.hangs_up)
    responses, left_over = responses_in(received, head=request.is_head)
    statuses = [f"{response.status}{' by HAProxy' if is_page(response) else ''}" for response in responses]
    if not closed:
        return statuses, f"still open after {time.monotonic() - started_at:.0f} s, {statuses}"
    final = [response for response in responses if response.status >= 200]
    if len(final) > request.most_responses:
        return statuses, f"{len(final)} responses: a part of the body was taken for a request"
    if left_over and not request.is_http2:
        return statuses, f"not HTTP: {left_over[:60]!r}"
    for response in final:
        if is_page(response):
            continue
        problem = response_problem(
            response.status,
            response.headers,
            response.body,
            head=request.is_head,
            open_inference=request.is_open_inference,
        )
        if problem:
            return statuses, problem
    return statuses, None


def is_page(response: Response) -> bool:
    """Whether HAProxy answered with a page of its own, as it does for bytes that are not HTTP: see docs/errors.md."""
    return response.status in (400, 408, 422) and response.body.startswith(b"<html><body><h1>4")


def exchange(port: int, data: bytes, *, hangs_up: bool = False, patience_s: float = PATIENCE_S) -> tuple[bytes, bool]:
    """Write bytes to a new connection and read until the other side closes it.

    Args:
        port: On loopback.
        data: What is written.
        hangs_up: Whether this side is closed at once after writing.
        patience_s: Longest time to read.

    Returns:
        What was read, and whether the other side closed the connection in that time.
    """
    received = bytearray()
    give_up_at = time.monotonic() + patience_s
    with socket.create_connection((LOOPBACK, port), timeout=patience_s) as connection:
        with suppress(OSError):  # the server may refuse before it has read everything
            connection.sendall(data)
            if hangs_up:
                connection.shutdown(socket.SHUT_WR)
        while (left_s := give_up_at - time.monotonic()) > 0:
            connection.settimeout(left_s)
            try:
                chunk = connection.recv(2**16)
            except TimeoutError:
                break
            except OSError:
                return bytes(received), True
            if not chunk:
                return bytes(received), True
            received += chunk
    return bytes(received), False


def responses_in(received: bytes, *, head: bool = False) -> tuple[Sequence[Response], bytes]:
    """Take a stream apart.

    Args:
        received: Everything that a connection brought.
        head: Whether the responses have no bodies.

    Returns:
        The responses, and what is left over where the stream is not HTTP.
    """
    responses: list[Response] = []
    while received:
        if not _STATUS_LINE.match(received):
            return responses, received
        file = BytesIO(received)
        response = HTTPResponse(cast(Any, _Socket(file)), method="HEAD" if head else "GET")
        try:
            response.begin()
            body = response.read()
        except (HTTPException, OSError, ValueError):
            return responses, received
        headers = {name.lower(): value for name, value in response.getheaders()}
        responses.append(Response(response.status, headers, body))
        received = received[file.tell() :] if not file.closed else b""
    return responses, b""


class _Socket:
    """The part of a socket that `HTTPResponse` uses."""

    def __init__(self, file: BytesIO) -> None:
        self._file = file

    def makefile(self, _mode: str) -> BytesIO:
        return _Kept(self._file)


class _Kept(BytesIO):
    """Reads from another stream, which stays open when this one is closed."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__()
        self._of = file

    def read(self, size: int | None = -1, /) -> bytes:
        return self._of.read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._of.readline(size)

    def readinto(self, buffer: Any, /) -> int:
        return self._of.readinto(buffer)
