"""The error of the clients, and its parsing from error responses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx


class TapetumError(Exception):
    """The server refused or failed, or could not be reached.

    Args:
        message: One sentence for a person.
        code: For programs: the server's own (`docs/errors.md`), or one of the client's (`docs/client.md`).
        status: HTTP status; None where no answer came, and for one image among several.
        details: JSON-able facts, such as the names of the known models.
        request_id: Id of the request, also in the server's log.
        retry_after_s: `Retry-After` of the server in seconds.
    """

    def __init__(
        self,
        message: str,
        code: str,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code, status, details, request_id, retry_after_s)
        self.message = message
        self.code = code
        self.status = status
        self.details: dict[str, Any] = dict(details or {})
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


def error_of(response: httpx.Response) -> TapetumError:
    """The error in an answer that is one, also where something between us and the server made it."""
    retry_after_s = _retry_after_s(response.headers.get("retry-after"))
    try:
        return error_from(response.json()["error"], response.status_code, retry_after_s)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
        return TapetumError(message, "http_error", response.status_code, None, None, retry_after_s)


def error_from(error: Mapping[str, Any], status: int | None, retry_after_s: float | None = None) -> TapetumError:
    """The error that the member `error` of an answer tells of; its status stands outside of it."""
    return TapetumError(
        error["message"], error["code"], status, error.get("details"), error.get("request_id"), retry_after_s
    )


def _retry_after_s(header: str | None) -> float | None:
    """`Retry-After` in seconds; it may be a date, too (RFC 9110, section 10.2.3). None where it is neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
