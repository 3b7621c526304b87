"""Atomic downloads: a file is complete and has the expected digest, or does not exist."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

from models.files import replaced

Progress = Callable[[int, int], None]
"""Called with the bytes received and the total, which is 0 where the server does not send it."""

_CHUNK_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 30.0


class WrongDigest(Exception):
    """The downloaded file has another digest than expected.

    Args:
        digest: Its sha256 in hex.
    """


def download(url: str, path: Path, digest_prefix: str, progress: Progress | None = None) -> None:
    """Downloads to a temporary file and renames it once it is complete.

    Args:
        url: The source.
        path: The destination; its folder is created.
        digest_prefix: The first digits of the sha256 that the file must have, in hex; may be empty.
        progress: Called after every mebibyte.

    Raises:
        OSError: No network, no such file, a broken connection or a full disk.
        WrongDigest: The file has another sha256.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as file:
        digest = _receive(url, file.write, progress)
        if not digest.startswith(digest_prefix):
            raise WrongDigest(digest)


def _receive(url: str, write: Callable[[bytes], object], progress: Progress | None) -> str:
    """Copies the response to a file, and returns the sha256 in hex."""
    sha256 = hashlib.sha256()
    received_bytes = 0
    with urlopen(Request(url, headers={"User-Agent": "tapetum"}), timeout=_TIMEOUT_S) as answer:
        expected_bytes = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(_CHUNK_BYTES):
            write(chunk)
            sha256.update(chunk)
            received_bytes += len(chunk)
            if progress is not None:
                progress(received_bytes, expected_bytes)
    if received_bytes < expected_bytes:
        raise ConnectionError(f"the connection broke after {received_bytes} of {expected_bytes} bytes")
    return sha256.hexdigest()
