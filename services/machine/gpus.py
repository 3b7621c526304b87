"""GPU reservations of Ray processes, and the devices visible to them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_DRIVER: Final = Path("/proc/driver/nvidia/gpus")
"""NVIDIA's driver has a folder for each GPU here (Linux)."""


def count_gpus(driver: Path = _DRIVER) -> int:
    """NVIDIA GPUs of this machine that CUDA may use.

    Args:
        driver: Folder of the driver.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = len(list(driver.iterdir())) if driver.is_dir() else 0
    return there if visible is None else min(there, len([name for name in visible.split(",") if name.strip()]))


def is_reservable(num_gpus: float) -> bool:
    """Whether Ray reserves so many GPUs for a process: a share of one, or whole ones."""
    return num_gpus < 1 or num_gpus == int(num_gpus)


def gpu_is_seen(device: str, num_gpus: float) -> bool:
    """Whether a process that reserves GPUs can use a device.

    Ray shows a process the GPUs that it has reserved and no others, numbered from 0
    (https://docs.ray.io/en/latest/ray-core/scheduling/accelerators.html); a share of one counts as one. A process that
    reserves none sees all.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
        num_gpus: That it reserves.
    """
    index = int(device.partition(":")[2] or 0)
    return num_gpus == 0 or index < math.ceil(num_gpus)
