"""What a model was trained on, for its card."""

import os
import platform
from pathlib import Path

import torch


def machine_name(device: str) -> str:
    """Names the processor: the GPU, or the CPU's model and how many cores there are for the asking.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
    """
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
