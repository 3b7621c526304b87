"""The training machine: its name for the model card, and the precision (fp32 or bf16) that suits it."""

import os
import platform
from dataclasses import replace
from pathlib import Path

import torch

from models.runtime import Runtime


def machine_name(device: str) -> str:
    """Names the processor: the GPU, or the CPU's model and how many cores there are for the asking.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
    """
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores"


def training_precision(precision: str, runtime: Runtime) -> str:
    """Chooses the arithmetic of training.

    Args:
        precision: `auto`, `fp32` or `bf16`; `auto` is bf16 where the hardware has it.
        runtime: What serving would take here, resolved.

    Raises:
        UnsupportedRuntime: This machine cannot do what is asked.
    """
    if precision != "auto":
        return replace(runtime, precision=precision).resolve().precision
    return "fp32" if runtime.precision == "fp32" else "bf16"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
