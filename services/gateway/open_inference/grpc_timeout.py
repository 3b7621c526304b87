"""The deadline of a gRPC call, which HAProxy copies into a header that reaches the handler."""

from __future__ import annotations

import re
from typing import Final

GRPC_TIMEOUT: Final = "x-tapetum-grpc-timeout"
"""Metadata with a copy of `grpc-timeout`, which gRPC's server does not pass on."""

_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_FORM: Final = re.compile(r"(\d{1,8})([HMSmun])")


def read_grpc_timeout(text: str) -> float | None:
    """Reads a deadline in seconds; None where there is none, or it has another form.

    Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
    """
    found = _FORM.fullmatch(text)
    return int(found[1]) * _UNITS_S[found[2]] if found else None
