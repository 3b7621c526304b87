"""What every response must look like, whatever the request was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def error_problem(status: int, headers: Mapping[str, str], body: bytes, *, open_inference: bool = False) -> str | None:
    """What is wrong with the body of an error response; None where it has the shape of docs/errors.md.

    Args:
        status: HTTP status, 400 or above.
        headers: Names in lower case.
        body: As it came.
        open_inference: Whether the path is below `/v2`, where an error is `{"error": "message"}`.
    """
    try:
        error: Any = json.loads(body)["error"]
        if open_inference:
            return None if isinstance(error, str) and "Traceback" not in error else f"{status} with {body[:80]!r}"
        code, request_id = error["code"], error["request_id"]
    except (ValueError, KeyError, TypeError):
        return f"{status} whose body is not an error object: {body[:80]!r}"
    if not isinstance(code, str) or not isinstance(error.get("message"), str):
        return f"{status} without code and message: {body[:80]!r}"
    named = headers.get("x-request-id")
    if request_id is None or named is None or request_id != named:
        return f"{status} {code}: request id {named!r} in the header, {request_id!r} in the body"
    if "Traceback" in error["message"]:
        return f"{status} {code} shows a traceback"
    return None


def response_problem(
    status: int, headers: Mapping[str, str], body: bytes, *, head: bool = False, open_inference: bool = False
) -> str | None:
    """What is wrong with a response to a bad or odd request; None where it is a success or an error as documented.

    Args:
        status: HTTP status.
        headers: Names in lower case.
        body: As it came.
        head: Whether the request was a HEAD, whose response has no body.
        open_inference: Whether the path is below `/v2`.
    """
    if status == 500:
        return f"500: {body[:120]!r}"
    if status >= 400 and not head:
        return error_problem(status, headers, body, open_inference=open_inference)
    return None
