"""The memory that this process may still allocate, and memory that goes back to the operating system."""

from __future__ import annotations

import ctypes
import gc
import math
import platform
from contextlib import suppress
from pathlib import Path

import psutil

from services.machine.cgroups import control_groups


def release_memory() -> None:
    """Collect garbage, and let the GNU allocator return the pages that are free.

    It keeps what it once got (`malloc_trim(3)`): after the warm-up of all bundled models 0.5 of 1.2 GB. With another
    allocator than glibc's, only garbage is collected.
    """
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def available_memory(*files: Path) -> int:
    """Bytes that this process may still allocate without swapping: the machine's, or those of its control group.

    Args:
        files: See `services.machine.cgroups.control_groups`.
    """
    left = [psutil.virtual_memory().available, *(_left_in(group.folder) for group in control_groups("memory", *files))]
    return int(max(0, min(left)))


def _left_in(folder: Path) -> float:
    """Bytes below the limit of a control group, counting the files that it caches as free."""
    for limit, usage, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):  # the latter of `max`
            most, used = (int((folder / name).read_text(encoding="ascii")) for name in (limit, usage))
            lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
            return most - used + int(dict(line.split() for line in lines).get(cached, 0))
    return math.inf
