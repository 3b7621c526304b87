"""Counts the CPUs that this process may use: the machine's, or fewer by affinity or cgroup limits.

A container's CPU limit is a quota of CPU time per period, in the files of its control group: `cpu.max` (version 2,
https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files) or `cpu.cfs_quota_us` and `cpu.cfs_period_us`
(version 1, https://docs.kernel.org/scheduler/sched-bwc.html). `os.cpu_count` ignores it.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

from services.machine.cgroups import control_groups


def count_cpus() -> int:
    """CPUs that this process can keep busy: at least 1; a part of a CPU counts as a whole one."""
    return max(1, math.ceil(min(_affine_cpus(), limit_of_cgroups())))


def _affine_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_of_cgroups(*files: Path) -> float:
    """The least CPU limit of this process' control group and of those above it; infinite where there is none.

    Args:
        files: See `services.machine.cgroups.control_groups`.
    """
    groups = control_groups("cpu", *files)
    return min((_limit_v2(at) if version == 2 else _limit_v1(at) for version, at in groups), default=math.inf)


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
