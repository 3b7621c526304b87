"""Samples of requests by their ids: the same id is in the same samples, in every process and at any time."""

from __future__ import annotations

from blake3 import blake3


def point_of(*parts: str) -> float:
    """Hashes texts to a point that is uniformly distributed in [0, 1)."""
    digest = blake3("\0".join(parts).encode()).digest(length=8)
    return (int.from_bytes(digest, "big") >> 11) / 2**53
