"""gRPC's status codes for the errors of the service."""

from __future__ import annotations

from typing import Any, Final

import grpc
import structlog

from services.errors import ServiceError

log = structlog.get_logger()

MAX_DETAILS: Final = 1024
"""The most characters of a status message, which is a header."""

_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ALREADY_EXISTS,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By HTTP status of the error; of others INTERNAL."""


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Code and message of an error; an unexpected one is logged and hidden."""
    if not isinstance(error, ServiceError):
        log.error("request failed", exc_info=error)
        return grpc.StatusCode.INTERNAL, "something went wrong here"
    return _CODES.get(error.status, grpc.StatusCode.INTERNAL), error.message[:MAX_DETAILS]


def end_with(context: Any, error: Exception) -> None:
    """End a call with an error, whose code and `retry-after` follow as trailing metadata.

    The handler returns an empty message after it. Raising instead would lose the metadata under Ray Serve 2.60, which
    also logs a traceback for each exception.

    Args:
        context: Of the call.
        error: Why it fails.
    """
    code, message = status_of(error)
    context.set_code(code)
    context.set_details(message)
    told = [("tapetum-error", error.code if isinstance(error, ServiceError) else ServiceError.code)]
    if isinstance(error, ServiceError) and error.retry_after_s is not None:
        told.append(("retry-after", f"{max(1, round(error.retry_after_s))}"))
    context.set_trailing_metadata((*(context.trailing_metadata() or ()), *told))
