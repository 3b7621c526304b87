"""Reserves space on the run folder's file system, which is released for new processes when the disk is full.

A process that Ray starts ends at once where it cannot write the first line of its log, so a replica that ends while the
disk is full could not be replaced.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.metric_files import allocate

_MOST_BYTES: Final = 16 * 2**20
_SHARE: Final = 1 / 8
"""The most of a small file system that is reserved."""


class Reserve:
    """A file of allocated blocks that is removed when the disk is full, and created again when there is space.

    Args:
        folder: On the watched file system.
        say: Called with one line when the reserve is released.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._file = folder / "reserve"
        self._say = say
        self._bytes = min(_MOST_BYTES, int(shutil.disk_usage(folder).total * _SHARE))

    def watch(self) -> None:
        """Check the file system; call it about twice a second."""
        with suppress(OSError):  # whatever is wrong with the file system, the stack goes on without a reserve
            free = shutil.disk_usage(self._file.parent).free
            if self._file.exists():
                if free < self._bytes / 8:
                    self._file.unlink()
                    self._say(
                        f"the file system of {self._file.parent} is full: gave up a reserve of {self._bytes} bytes"
                    )
            elif free > 2 * self._bytes:
                allocate(self._file, self._bytes)
