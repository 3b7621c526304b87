"""Measures the models alone, step by step, on whatever device is here: no server, no Ray.

    python -m loadtests.device                            # the GPU where there is one, else the CPU
    python -m loadtests.device --quick --threads 1        # a minute
    python -m loadtests.device --model yolo-person unet-person --batch-sizes 1 8 --threads 1 2
    python -m loadtests.device --model bundled --precisions fp32 --quick --json results/device.json
    python -m loadtests.device --model torchvision/resnet50 --images DIR

It needs torch, torchvision, numpy, Pillow, safetensors, msgspec and pycocotools only, and for a detector or a segmenter
scikit-image or `--images`. OpenVINO and ONNX Runtime are measured where they are installed, and int8 where
TAPETUM_CATALOG has a card NAME-int8, from `tapetum models quantize`. Where a classifier's weights are not on the
machine, the same network is measured with random ones: it takes just as long.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch
import torchvision

from loadtests.device_pictures import picture_sets
from loadtests.device_timing import answers, host_steps, of_one_shape, postprocess_ms, share_of_same, time_in_turns
from loadtests.device_variants import MODES, SLOW_TO_START, MeasuredPrecision, adapter_for, load_variants
from models.adapter import ModelInput
from models.catalog.lookup import bundled, find
from models.runtime import Runtime

BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
QUICK_BATCH_SIZES: Final = (1, 8, 32)
PRECISIONS: Final[tuple[MeasuredPrecision, ...]] = ("fp32", "bf16", "fp16", "int8")
BUNDLED: Final = "bundled"


def main() -> None:
    """Measures, prints tables and writes JSON."""
    options = parse_options()
    report: dict[str, Any] = {"machine": describe_machine(options.device)}
    print(json.dumps(report, indent=2))
    for name in options.model:
        report[name] = measured(name, options)
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures a model and prints its tables: the steps of the host, and the network in every mode.

    Returns:
        The rows of both tables, `host` and `forward`.
    """
    print(f"## {name}\n")
    adapter = adapter_for(name, Runtime(device=options.device, precision="fp32"))
    sets = picture_sets(options.images, adapter.entry.task)
    host = [
        asdict(step)
        for size, pictures in sets
        for step in host_steps(adapter, size, pictures, options.device, options.seconds)
    ]
    print_table(host)
    inputs = of_one_shape([adapter.preprocess(adapter.decode(picture)) for picture in sets[0][1]])
    forward = list(forward_rows(name, options, inputs))
    print_table(forward)
    return {"host": host, "forward": forward}


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Measure the models alone, step by step, on this device.")
    parser.add_argument(
        "--model",
        nargs="+",
        default=["efficientnet-lite0"],
        help=f"models of the catalog, or {BUNDLED} for ours",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--images", type=Path, help="a folder of JPEGs; without it, made pictures, for a detector or segmenter photos"
    )
    parser.add_argument(
        "--modes", nargs="+", choices=MODES, help="without it, all; on a CPU, all but compiled and onnxruntime"
    )
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--batch-sizes", nargs="+", type=int)
    parser.add_argument("--threads", nargs="+", type=int, help="threads of a run; without it, torch's own choice")
    parser.add_argument("--quick", action="store_true", help="fewer batch sizes, shorter runs")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    options.batch_sizes = options.batch_sizes or (QUICK_BATCH_SIZES if options.quick else BATCH_SIZES)
    options.modes = options.modes or [mode for mode in MODES if mode not in SLOW_TO_START or options.device != "cpu"]
    options.threads = options.threads or [torch.get_num_threads()]
    if options.model == [BUNDLED]:
        options.model = [name for name in bundled() if find(name).weights.kind != "none"]
    options.seconds = 0.3 if options.quick else 1.0
    return options


def forward_rows(name: str, options: argparse.Namespace, inputs: Sequence[ModelInput]) -> Iterator[dict[str, object]]:
    """Measures the network in every variant and batch size, one variant after the other in turns.

    Yields:
        What `Variant` and `BatchTiming` have; `postprocess_share`, of the time of both, over the same pictures whatever
        the batch; and `agreement`, the share of the pictures with the same top-1 class as eager fp32, or with the same
        boxes or masks of classes. That says little of a classifier and made pictures, which have no class.
    """
    plain = adapter_for(name, replace(MODES["eager"], device=options.device, precision="fp32"))
    expected = answers(plain, inputs)
    loaded = load_variants(name, options.device, options.precisions, options.modes, options.threads)
    timings = {size: time_in_turns(loaded, inputs, size, options.seconds) for size in options.batch_sizes}
    for variant, adapter in loaded.items():
        torch.set_num_threads(variant.threads)
        agreement = round(share_of_same(answers(adapter, inputs), expected), 4)
        after_ms = postprocess_ms(adapter, inputs, options.seconds)
        for timing in (timings[size][variant] for size in options.batch_sizes):
            share = round(after_ms / (timing.ms_per_image + after_ms), 3)
            yield {**asdict(variant), **asdict(timing), "postprocess_share": share, "agreement": agreement}


def describe_machine(device: str) -> dict[str, object]:
    """Names the device, the versions and the threads that the figures belong to."""
    on_gpu = device != "cpu"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else cpu_name(),
        "cuda": torch.version.cuda if on_gpu else None,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def cpu_name() -> str:
    """Gives the kernel's name of the CPU, or the architecture where it has none."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Prints rows of the same members as a Markdown table, ready for a document."""
    if not rows:
        return
    cells = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines), end="\n\n")


def cell(value: object) -> str:
    """Writes a value for a table; a size as 480 x 640."""
    return " x ".join(str(side) for side in value) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
