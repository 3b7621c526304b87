"""Canary routing: which requests for a model go to the canary version, sticky by request id."""

from __future__ import annotations

from typing import Final

from blake3 import blake3

_POINTS: Final = 2**64


def is_canary(name: str, version: str, weight: float, request_id: str) -> bool:
    """Whether a request goes to the canary.

    The request id is hashed to a point of the interval [0, 100), which does not depend on the weight: a request id
    always gets the same version, and raising the weight moves no id back to the other version.

    Args:
        name: The model.
        version: The canary; another version of the model gets other requests.
        weight: Percentage of the requests, 0 to 100.
        request_id: Of the request.
    """
    digest = blake3("\0".join((name, version, request_id)).encode()).digest(length=8)
    return int.from_bytes(digest, "big") * 100 < weight * _POINTS
