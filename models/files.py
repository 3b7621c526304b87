"""Files that are complete or not there, written beside their place first, then renamed; and digests of files."""

import fcntl
import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4


@contextmanager
def replaced(path: Path) -> Generator[IO[bytes]]:
    """Writes a file that atomically replaces another.

    Args:
        path: Of the file; its folder must exist.

    Yields:
        The file to write to.

    Raises:
        OSError: It cannot be written; what was at the path stays.
    """
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:  # `tempfile` would make one that only its owner may read
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Generator[None]:
    """Holds a lock that one process at a time has; the operating system takes it back from one that was killed.

    Args:
        path: Of the lock file, which is made and stays.
        wait: Whether to wait for another process that has it.

    Raises:
        BlockingIOError: Another process has it, and `wait` is false.
        OSError: The file cannot be written.
    """
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def file_digest(path: Path) -> str:
    """Computes the sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
