"""One request as bytes for a socket, whether or not it is HTTP."""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[str | bytes, str | bytes], ...]
MIB = 2**20


@dataclass(frozen=True)
class RawRequest:
    """One connection's worth of bytes.

    Attributes:
        name: For the table.
        data: What is written to the socket.
        most_responses: More responses than this mean that a part of a body was taken for a request.
        hangs_up: Whether the client closes its side at once after writing.
        is_http2: Whether the response may be in HTTP/2's frames.
    """

    name: str
    data: bytes
    most_responses: int = 1
    hangs_up: bool = False
    is_http2: bool = False

    @property
    def is_head(self) -> bool:
        """Whether the response has no body."""
        return self.data.startswith(b"HEAD ")

    @property
    def is_open_inference(self) -> bool:
        """Whether the path is one of the Open Inference Protocol, whose errors have another shape."""
        return b" /v2/" in self.data.partition(b"\r\n")[0]


def compose(
    method: str | bytes = "GET",
    target: str | bytes = "/healthz",
    headers: Headers = (),
    body: bytes = b"",
    *,
    version: str = "HTTP/1.1",
    framed: bool = True,
    host: bool = True,
) -> bytes:
    """A request that asks for the connection to be closed after the response.

    Args:
        method: As it stands in the request line.
        target: Likewise.
        headers: More of them.
        body: Sent behind the headers as it is.
        version: As it stands in the request line.
        framed: Whether `Content-Length` is added where there is a body.
        host: Whether `Host` is added.
    """
    lines = [b"%s %s %s" % (_bytes(method), _bytes(target), version.encode())]
    if host:
        lines.append(b"Host: localhost")
    lines += [b"%s: %s" % (_bytes(name), _bytes(value)) for name, value in headers]
    if body and framed:
        lines.append(b"Content-Length: %d" % len(body))
    lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
