"""The errors of uvicorn itself, in the shape of all others: uvicorn 0.54 writes plain text, which nothing sets."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.errors import RequestError, ServiceError
from services.gateway.envelope import error_response, make_request_id


def shape_server_errors() -> None:
    """Replace what uvicorn sends for what is not HTTP, and for an application that failed; for the whole process."""
    HttpToolsProtocol.send_400_response = _send_400_response
    RequestResponseCycle.send_500_response = _send_500_response


def _send_400_response(self: HttpToolsProtocol, msg: str) -> None:  # noqa: ARG001
    request_id = make_request_id(None)
    response = error_response(RequestError("this is not a valid HTTP request"), request_id)
    response.headers.update({"x-request-id": request_id, "connection": "close"})
    head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
    self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (head, bytes(response.body)))
    self.transport.close()


async def _send_500_response(self: RequestResponseCycle) -> None:
    request_id = make_request_id(None)
    response = error_response(ServiceError("something went wrong here"), request_id)
    response.headers.update({"x-request-id": request_id, "connection": "close"})
    start: Any = {"type": "http.response.start", "status": 500, "headers": response.raw_headers}
    await self.send(start)
    await self.send({"type": "http.response.body", "body": bytes(response.body), "more_body": False})
