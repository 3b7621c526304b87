"""Counts the CPUs that this process may use: the machine's, or fewer by affinity or cgroup limits.

A container's CPU limit is a quota of CPU time per period, in the files of its control group: `cpu.max` (version 2,
https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files) or `cpu.cfs_quota_us` and `cpu.cfs_period_us`
(version 1, https://docs.kernel.org/scheduler/sched-bwc.html). `os.cpu_count` ignores it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

_PROCESS: Final = Path("/proc/self/cgroup")
_MOUNTS: Final = Path("/sys/fs/cgroup")


def count_cpus() -> int:
    """CPUs that this process can keep busy: at least 1; a part of a CPU counts as a whole one."""
    return max(1, math.ceil(min(_affine_cpus(), limit_of_cgroups())))


def _affine_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_of_cgroups(process: Path = _PROCESS, mounts: Path = _MOUNTS) -> float:
    """The least CPU limit of this process' control group and of those above it; infinite where there is none.

    Args:
        process: File with the control groups of this process, lines of `id:controllers:path`.
        mounts: Where control groups are mounted.
    """
    limits = [math.inf]
    with suppress(OSError):
        for line in process.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                limits += (_limit_v2(folder) for root in (mounts, mounts / "unified") for folder in _ways(root, path))
            elif "cpu" in controllers.split(","):
                roots = (mounts / controllers, mounts / "cpu")
                limits += (_limit_v1(folder) for root in roots for folder in _ways(root, path))
    return min(limits)


def _ways(root: Path, path: str) -> Iterator[Path]:
    """Folders of a control group and of those above it; a container often sees its own as the root."""
    group = PurePosixPath(path.lstrip("/"))
    if ".." not in group.parts:
        yield from (root / step for step in (group, *group.parents))


def _limit_v2(folder: Path) -> float:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    return math.inf


def _limit_v1(folder: Path) -> float:
    with suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return math.inf if quota <= 0 else quota / period
    return math.inf
