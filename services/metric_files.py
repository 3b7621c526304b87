"""Files of Prometheus metrics that a full disk cannot take from under their process.

`prometheus_client` maps files of holes into memory: where the disk is full, the first write to a page ends the process
with SIGBUS. Here the pages are allocated before they are mapped; where that fails, the metrics of the process stay in
its memory, and are missing from `/metrics`, while it goes on answering.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any, cast

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

_FIRST_BYTES = 64 * 1024


class AllocatedDict(MmapedDict):
    """`MmapedDict` whose pages all exist.

    Args:
        filename: Of the file.
        read_mode: Whether it is only read.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            if not read_mode:
                _allocate(filename, max(_FIRST_BYTES, os.path.getsize(filename) if os.path.exists(filename) else 0))
            super().__init__(filename, read_mode)
        except OSError as error:
            if read_mode:
                raise
            self._stay_in_memory(error)

    def _init_value(self, key: str) -> None:
        own = cast(Any, self)
        needed = own._used + len(key.encode()) + 32  # length, padding, value and timestamp
        if own._f is not None and needed > own._capacity:
            try:
                _allocate(own._fname, 2 * own._capacity)
            except OSError as error:
                self._stay_in_memory(error, bytes(own._m[: own._used]))
        if own._f is None and needed > own._capacity:
            grown = mmap.mmap(-1, 2 * own._capacity)
            grown[: own._used] = own._m[: own._used]
            own._m, own._capacity = grown, 2 * own._capacity
        super()._init_value(key)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
