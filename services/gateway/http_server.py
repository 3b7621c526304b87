"""Patches of uvicorn where it has no setting: JSON errors, and headers that control Ray Serve (uvicorn 0.54, Ray 2.60).

uvicorn's own errors are plain text. Ray Serve acts on headers that any client can send: it stops watching for
disconnects, sets its own time limit, and fails with a 500 where they are not UTF-8. Those of clients are removed. The
one that turns off the watch for disconnects is added to each request, as Ray would handle it in two tasks and copy its
body through a queue; `services.gateway.disconnects` watches instead, where a request takes long.

uvicorn writes the headers of a response before its body, and HAProxy is woken twice; here the headers wait for the
first part of the body, and both are one system call.
"""

from __future__ import annotations

from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.errors import RequestError, ServiceError
from services.gateway.middleware import error_response, is_request_id, make_request_id

RAY_HEADERS: Final = frozenset(
    {
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
        b"x-request-disconnect-disabled",
        b"x-request-timeout-seconds",
        b"x-session-id",
        b"x_session_id",
    }
)
"""Headers that control Ray Serve; they are removed from the requests of clients."""

_REQUEST_ID: Final = b"x-request-id"
_UNWATCHED: Final = (b"x-request-disconnect-disabled", b"?1")  # `?1` is true (RFC 9651)


def shape_http_server() -> None:
    """Patch uvicorn in the whole process: errors become JSON error bodies, and headers that control Ray are dropped."""
    RequestResponseCycle.send = _send
    HttpToolsProtocol.send_400_response = _send_400_response
    RequestResponseCycle.send_500_response = _send_500_response
    HttpToolsProtocol.on_header = _on_header
    HttpToolsProtocol.on_message_begin = _on_message_begin


_take_header = HttpToolsProtocol.on_header
_begin_message = HttpToolsProtocol.on_message_begin
_send_at_once = RequestResponseCycle.send


def _on_message_begin(self: HttpToolsProtocol) -> None:
    _begin_message(self)
    self.headers.append(_UNWATCHED)


def _on_header(self: HttpToolsProtocol, name: bytes, value: bytes) -> None:
    name = name.lower()
    if name in RAY_HEADERS:
        return
    if name == _REQUEST_ID and not (
        is_request_id(value.decode("latin-1")) and all(known != _REQUEST_ID for known, _ in self.headers)
    ):
        return  # Ray makes a new one then, so that header, body and log have the same
    _take_header(self, name, value)


class _HeldHeaders:
    """A transport that sends what is written first together with what is written next.

    Args:
        transport: Of the connection.
    """

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self._held = b""

    def write(self, data: bytes) -> None:
        """Keep the headers, or send them with the first part of the body."""
        if self._held:
            self.transport.writelines((self._held, data))
            self._held = b""
        elif data:
            self._held = data

    def send(self) -> None:
        """Send the headers where no body follows: to HEAD."""
        if self._held:
            self.transport.write(self._held)
            self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


async def _send(self: RequestResponseCycle, message: Any) -> None:
    if not self.response_started:
        self.transport = cast(Any, _HeldHeaders(self.transport))
        await _send_at_once(self, message)
        return
    await _send_at_once(self, message)
    if isinstance(self.transport, _HeldHeaders):
        self.transport.send()
        self.transport = self.transport.transport


def _send_400_response(self: HttpToolsProtocol, msg: str) -> None:  # noqa: ARG001
    request_id = make_request_id(None)
    response = error_response(RequestError("this is not a valid HTTP request"), request_id, self.url.decode("latin-1"))
    response.headers.update({"x-request-id": request_id, "connection": "close"})
    head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
    self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (head, bytes(response.body)))
    self.transport.close()


async def _send_500_response(self: RequestResponseCycle) -> None:
    request_id = make_request_id(None)
    response = error_response(ServiceError("something went wrong here"), request_id, self.scope["path"])
    response.headers.update({"x-request-id": request_id, "connection": "close"})
    start: Any = {"type": "http.response.start", "status": 500, "headers": response.raw_headers}
    await self.send(start)
    await self.send({"type": "http.response.body", "body": bytes(response.body), "more_body": False})
