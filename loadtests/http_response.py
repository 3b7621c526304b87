"""The half of HTTP/1.1 that a closed-loop client needs: reading one response at a time, for microseconds of CPU."""

from __future__ import annotations

from dataclasses import dataclass


class MalformedResponse(Exception):
    """The bytes are no HTTP/1.1 response that has a length; the message says why."""


@dataclass(frozen=True, slots=True)
class Response:
    """One whole response.

    Attributes:
        status: Status code, such as 200.
        body: The body's bytes.
        keep_alive: Whether the connection can carry another request.
    """

    status: int
    body: bytes
    keep_alive: bool


class ResponseParser:
    """Takes a connection's bytes as they come and gives back whole responses.

    There is never more than one request in flight on a connection, so bytes after a response's end are an error.
    `Content-Length` is required: a chunked body is refused, for none of the systems that are measured sends one.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._body_at = 0
        self._ends_at = 0
        self._status = 0
        self._keep_alive = True

    def feed(self, data: bytes) -> Response | None:
        """Take the next bytes.

        Args:
            data: Whatever the socket gave.

        Returns:
            The response that they complete, or None where more is to come.

        Raises:
            MalformedResponse: this can never become a response.
        """
        self._received += data
        if not self._body_at and not self._read_head():
            return None
        if len(self._received) < self._ends_at:
            return None
        if len(self._received) > self._ends_at:
            raise MalformedResponse(f"{len(self._received) - self._ends_at} bytes came after the response's end")
        response = Response(self._status, bytes(self._received[self._body_at :]), self._keep_alive)
        self._received.clear()
        self._body_at = 0
        return response

    def _read_head(self) -> bool:
        head_ends_at = self._received.find(b"\r\n\r\n")
        if head_ends_at < 0:
            return False
        status_line, *fields = bytes(self._received[:head_ends_at]).lower().split(b"\r\n")
        headers = {name: value.strip() for name, _, value in (field.partition(b":") for field in fields)}
        self._status = _read_status(status_line)
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            raise MalformedResponse(f"a response with status {self._status} has no Content-Length")
        self._keep_alive = status_line.startswith(b"http/1.1") and headers.get(b"connection") != b"close"
        self._body_at = head_ends_at + 4
        self._ends_at = self._body_at + int(length)
        return True


def _read_status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in (b"http/1.1", b"http/1.0") or not code.isdigit():
        raise MalformedResponse(f"not a status line: {line[:80].decode('latin-1')}")
    return int(code)
