"""Measures the options for GPUs, each on and off, as ratios of one run: no server, no Ray.

    python -m loadtests.gpu                     # all of it, in less than eight minutes
    python -m loadtests.gpu --sections models --model unet-person --batch-sizes 1 8
    python -m loadtests.gpu --device cpu        # what makes sense there, to try the program

It needs torch 2.11 or later and what `loadtests.device` needs. Without a GPU it says so and exits with status 2.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from loadtests import gpu_sections
from loadtests.device import describe_machine, print_table
from loadtests.gpu_sections import BATCH_SIZES, Plan, Row
from models.catalog.lookup import bundled, find
from models.execution import cuda_graphs

SECTIONS: Final[dict[str, tuple[Callable[[Plan, float], Iterator[Row]], float]]] = {
    "staging": (gpu_sections.staging, 0.05),
    "decode": (gpu_sections.decode, 0.1),
    "share": (gpu_sections.share, 0.02),
    "threads": (gpu_sections.threads, 0.2),
    "models": (gpu_sections.models, 1.0),
}
"""Each section, and its share of the time that is left when it begins."""
NO_GPU: Final = 2
"""Exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the sections, prints their tables and writes JSON; returns the exit status."""
    options = parse_options(arguments)
    if options.device != "cpu" and not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no GPU; --device cpu runs what makes sense on a CPU", file=sys.stderr)
        return NO_GPU
    ends_at = time.monotonic() + options.limit_s
    cuda_graphs.MOST_PIXELS = 2**40  # so that the figures show where graphs stop being worth it
    plan = Plan(options.device, options.model, options.images, options.batch_sizes, options.seconds)
    report: dict[str, Any] = {"machine": machine(options.device)}
    print(json.dumps(report, indent=2))
    for name in options.sections:
        section, of_the_rest = SECTIONS[name]
        now = time.monotonic()
        print(f"\n## {name}: {section.__doc__}\n")
        report[name] = list(section(plan, now + of_the_rest * max(0.0, ends_at - now)))
        print_table(report[name])
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Measure the options for GPUs, each on and off.")
    networks = [name for name in bundled() if find(name).weights.kind != "none"]
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--model", nargs="+", default=networks, help="models of the catalog; all bundled ones")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=BATCH_SIZES)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; without it, made pictures and photos")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement")
    parser.add_argument("--limit-s", type=float, default=400.0, help="no measurement begins later than this")
    parser.add_argument("--json", type=Path, default=Path("results/gpu.json"), help="where to write the figures")
    return parser.parse_args(arguments)


def machine(device: str) -> dict[str, object]:
    """Names the device, the versions, and what the figures depend on."""
    described = describe_machine(device)
    if device != "cpu":
        properties = torch.cuda.get_device_properties(device)
        described["compute_capability"] = f"{properties.major}.{properties.minor}"
        described["memory_gb"] = round(properties.total_memory / 2**30, 1)
        described["cudnn"] = torch.backends.cudnn.version()
    return described


if __name__ == "__main__":
    sys.exit(main())
