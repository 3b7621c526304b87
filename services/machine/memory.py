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


def total_memory(*files: Path) -> int:
    """Bytes that this process may have at most: the machine's, or those of its control group.

    Args:
        files: See `services.machine.cgroups.control_groups`.
    """
    limits = [_limit_of(group.folder) for group in control_groups("memory", *files)]
    return int(min([psutil.virtual_memory().total, *limits]))


def available_memory(*files: Path) -> int:
    """Bytes that this process may still allocate without swapping.

    Args:
        files: See `services.machine.cgroups.control_groups`.
    """
    left = [_limit_of(group.folder) - _usage_of(group.folder) for group in control_groups("memory", *files)]
    return int(max(0, min([psutil.virtual_memory().available, *left])))


def _limit_of(folder: Path) -> float:
    """The limit of a control group of version 2 or 1; infinite where it has none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # the latter of `max`
            return int((folder / name).read_text(encoding="ascii"))
    return math.inf


def _usage_of(folder: Path) -> int:
    """What a control group uses, but for the files that it caches, which make room."""
    for name, cached in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
        with suppress(OSError, ValueError):
            lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
            used = int((folder / name).read_text(encoding="ascii"))
            return used - int(dict(line.split() for line in lines).get(cached, 0))
    return 0
