"""Checksums (MACs) of values in Redis, bound to their keys."""

from __future__ import annotations

import hmac
from typing import Final

from blake3 import blake3

SEAL_BYTES: Final = 16
_CONTEXT: Final = "tapetum 2026-11 values in Redis"
"""Context of the key derivation, so that the key differs from others that are derived from the same secret."""
_NO_SECRET: Final = bytes(32)


class Seal:
    """Prefixes a value with its checksum, and verifies it; with a secret it is a message authentication code.

    BLAKE3's keyed mode is a MAC (https://github.com/BLAKE3-team/BLAKE3-specs). Without a secret the key is public, and
    the checksum detects corruption and swapped values only.

    Args:
        secret: Shared by all gateways of a stack; None: there is none.
    """

    def __init__(self, secret: str | None = None) -> None:
        self._key = blake3(secret.encode(), derive_key_context=_CONTEXT).digest() if secret else _NO_SECRET

    def close(self, name: str, value: bytes) -> bytes:
        """Returns the checksum of a value and its key, followed by the value."""
        return self._checksum(name, value) + value

    def open(self, name: str, stored: bytes) -> bytes | None:
        """Returns the value stored under a key; None where the checksum does not match."""
        value = stored[SEAL_BYTES:]
        return value if hmac.compare_digest(stored[:SEAL_BYTES], self._checksum(name, value)) else None

    def _checksum(self, name: str, value: bytes) -> bytes:
        named = blake3(f"{name}\0".encode(), key=self._key)
        return named.update(value).digest(length=SEAL_BYTES)
