"""Checksums of what is kept in Redis, bound to the name that it is kept under."""

from __future__ import annotations

import hmac
from typing import Final

from blake3 import blake3

SEAL_BYTES: Final = 16
_CONTEXT: Final = "tapetum 2026-11 values in Redis"
"""Sets the key apart from those that the same secret may be used for elsewhere."""
_NO_SECRET: Final = bytes(32)


class Seal:
    """Puts a checksum before a value, and checks it; with a secret, only who knows that can make one.

    BLAKE3's keyed mode is a message authentication code (https://github.com/BLAKE3-team/BLAKE3-specs). Without a
    secret the key is known to everybody, and the checksum finds damage and mix-ups only.

    Args:
        secret: Shared by all gateways of a stack; None: there is none.
    """

    def __init__(self, secret: str | None = None) -> None:
        self._key = blake3(secret.encode(), derive_key_context=_CONTEXT).digest() if secret else _NO_SECRET

    def close(self, name: str, value: bytes) -> bytes:
        """What is stored under a name for a value: its checksum, then itself."""
        return self._checksum(name, value) + value

    def open(self, name: str, stored: bytes) -> bytes | None:
        """The value that was stored under a name; None where the checksum does not fit."""
        value = stored[SEAL_BYTES:]
        return value if hmac.compare_digest(stored[:SEAL_BYTES], self._checksum(name, value)) else None

    def _checksum(self, name: str, value: bytes) -> bytes:
        named = blake3(f"{name}\0".encode(), key=self._key)
        return named.update(value).digest(length=SEAL_BYTES)
