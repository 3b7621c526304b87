"""Measures the models alone, step by step, on whatever device is here: no server, no Ray.

    python -m loadtests.device                            # the GPU where there is one, else the CPU
    python -m loadtests.device --quick --threads 1        # a minute
    python -m loadtests.device --model torchvision/resnet50 --images DIR --json results/device.json

It needs torch, torchvision, numpy and Pillow only. Where a model's weights are not on the machine, the same network is
measured with random ones: it takes just as long.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torchvision
from PIL import Image

from models import jpeg
from models.adapter import Adapter, ClassificationParameters, ModelInput
from models.catalog import find
from models.classification.classifier import Classifier
from models.classification.efficientnet_lite import EfficientNetLite
from models.classification.torchvision_networks import build, drop_auxiliary_heads, weights_enum
from models.errors import UnsupportedRuntime, WeightsUnavailable
from models.loading import load
from models.runtime import Precision, Runtime

BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
QUICK_BATCH_SIZES: Final = (1, 8, 32)
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "bf16", "fp16")
MODES: Final = {
    "eager": Runtime(fuse=False, channels_last=False),
    "channels_last": Runtime(fuse=False),
    "fused": Runtime(),
    "compiled": Runtime(compile=True),
}
PICTURE_SIZES: Final = ((480, 640), (1440, 1920))
SEED: Final = 20


@dataclass(frozen=True)
class HostStep:
    """What one image costs in a step outside the network.

    Attributes:
        step: Its name.
        picture: (height, width) of the pictures in pixels; None where they come in several sizes.
        ms: Median milliseconds per image.
    """

    step: str
    picture: tuple[int, int] | None
    ms: float


@dataclass(frozen=True)
class ForwardRow:
    """What `Adapter.forward` costs: batch on the host to probabilities on the host.

    Attributes:
        precision: Of the network.
        mode: A key of `MODES`.
        batch_size: Images a batch.
        ms_per_batch: Median milliseconds.
        ms_per_image: The same, by image.
        images_per_s: Its inverse.
        first_call_s: Seconds of the first call at this size, compiling included.
        agreement: Share of the pictures with the same top-1 class as eager fp32; it says little of made pictures,
            which have no class.
    """

    precision: str
    mode: str
    batch_size: int
    ms_per_batch: float
    ms_per_image: float
    images_per_s: float
    first_call_s: float
    agreement: float


def main() -> None:
    """Measures, prints tables and writes JSON."""
    options = parse_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    adapter = adapter_for(options.model, Runtime(device=options.device, precision="fp32"))
    sets = picture_sets(options.images)
    report: dict[str, Any] = {"machine": describe_machine(options.device), "model": options.model}
    print(json.dumps(report, indent=2))
    host = [step for size, pictures in sets for step in host_steps(adapter, size, pictures, options)]
    print_table(host)
    inputs = [adapter.preprocess(adapter.decode(picture)) for picture in sets[0][1]]
    rows = list(forward_rows(options, inputs))
    print_table(rows)
    report |= {"host": [asdict(step) for step in host], "forward": [asdict(row) for row in rows]}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Measure the models alone, step by step, on this device.")
    parser.add_argument("--model", default="efficientnet-lite0", help="a classifier of the catalog")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; without it, pictures are made from a seed")
    parser.add_argument("--modes", nargs="+", choices=MODES, help="without it, all; on a CPU, all but compiled")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--batch-sizes", nargs="+", type=int)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves torch's own choice")
    parser.add_argument("--quick", action="store_true", help="fewer batch sizes, shorter runs")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    options.batch_sizes = options.batch_sizes or (QUICK_BATCH_SIZES if options.quick else BATCH_SIZES)
    options.modes = options.modes or [mode for mode in MODES if mode != "compiled" or options.device != "cpu"]
    options.seconds = 0.3 if options.quick else 1.0
    return options


def adapter_for(name: str, runtime: Runtime) -> Adapter:
    """Loads a model, or builds it with random weights where there are none."""
    try:
        return load(name, runtime)
    except WeightsUnavailable as error:
        print(f"random weights: {error}", file=sys.stderr)
    entry = find(name)
    torch.manual_seed(SEED)
    network: torch.nn.Module = EfficientNetLite()
    if name.startswith("torchvision/"):
        network = build(weights_enum(name), entry.architecture)
        drop_auxiliary_heads(network, entry.architecture)
    class_names = tuple(f"class {index}" for index in range(entry.class_count))
    return Classifier(entry, class_names, runtime, network.eval(), "random")


def picture_sets(folder: Path | None) -> list[tuple[tuple[int, int] | None, list[bytes]]]:
    """Gives the JPEGs to measure with: those of a folder, or made ones of each size."""
    if folder is None:
        return [(size, [made_picture(size, SEED + index) for index in range(16)]) for size in PICTURE_SIZES]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})
    if not paths:
        sys.exit(f"no JPEG in {folder}")
    return [(None, [path.read_bytes() for path in paths[:256]])]


def made_picture(size: tuple[int, int], seed: int) -> bytes:
    """Makes a JPEG with detail at every scale, about as heavy as a photo of its size."""
    random = np.random.default_rng(seed)
    height, width = size
    total = np.zeros((height, width, 3))
    for octave in range(2, 8):
        coarse = random.integers(0, 256, (2**octave, 2**octave, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    buffer = BytesIO()
    Image.fromarray((total * (255 / total.max())).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def host_steps(
    adapter: Adapter, size: tuple[int, int] | None, pictures: Sequence[bytes], options: argparse.Namespace
) -> Iterator[HostStep]:
    """Measures decode, preprocess and postprocess; decoding on the GPU too where torchvision can."""
    decoded = [adapter.decode(picture) for picture in pictures]
    inputs = [adapter.preprocess(image) for image in decoded]
    raw = adapter.forward(inputs[:8])
    wanted = [ClassificationParameters()] * len(inputs[:8])
    steps: dict[str, tuple[Callable[[], object], int]] = {
        f"decode ({'simplejpeg' if jpeg.simplejpeg else 'Pillow'})": (
            lambda: [adapter.decode(picture) for picture in pictures],
            len(pictures),
        ),
        "preprocess": (lambda: [adapter.preprocess(image) for image in decoded], len(decoded)),
        "postprocess": (lambda: adapter.postprocess(raw, inputs[:8], wanted), len(wanted)),
    }
    if options.device != "cpu":
        encoded = [torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in pictures]
        steps["decode (nvJPEG, in full)"] = (lambda: decode_on_gpu(encoded, options.device), len(encoded))
    for name, (run, count) in steps.items():
        try:
            yield HostStep(name, size, round(1000 * median_s(run, options.seconds) / count, 3))
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)


def decode_on_gpu(encoded: list[torch.Tensor], device: str) -> None:
    """Decodes JPEGs on the GPU in one call and waits for the pixels."""
    torchvision.io.decode_jpeg(encoded, mode=torchvision.io.ImageReadMode.RGB, device=device)
    torch.cuda.synchronize()


def forward_rows(options: argparse.Namespace, inputs: Sequence[ModelInput]) -> Iterator[ForwardRow]:
    """Measures the network in every precision, mode and batch size that the machine can do."""
    plain = adapter_for(options.model, replace(MODES["eager"], device=options.device, precision="fp32"))
    expected = top1(plain, inputs)
    for precision in options.precisions:
        for mode in options.modes:
            runtime = replace(MODES[mode], device=options.device, precision=precision)
            try:
                adapter = adapter_for(options.model, runtime)
            except UnsupportedRuntime as error:
                print(f"{precision} {mode}: {error}", file=sys.stderr)
                continue
            agreement: float | None = None
            for batch_size in options.batch_sizes:
                timing = forward_timing(adapter, inputs, batch_size, options.seconds)
                if agreement is None:
                    agreement = float(np.mean(top1(adapter, inputs) == expected))
                yield ForwardRow(precision, mode, batch_size, *timing, round(agreement, 4))


def forward_timing(
    adapter: Adapter, inputs: Sequence[ModelInput], batch_size: int, seconds: float
) -> tuple[float, float, float, float]:
    """Gives the milliseconds of a batch and of an image, the images per second, and the seconds of the first call."""
    batch = [inputs[index % len(inputs)] for index in range(batch_size)]
    start = time.perf_counter()
    adapter.forward(batch)
    first_call_s = time.perf_counter() - start
    batch_s = median_s(lambda: adapter.forward(batch), seconds)
    return (
        round(1000 * batch_s, 3),
        round(1000 * batch_s / batch_size, 3),
        round(batch_size / batch_s, 1),
        round(first_call_s, 2),
    )


def top1(adapter: Adapter, inputs: Sequence[ModelInput]) -> np.ndarray:
    """Gives the most probable class of each input, computed in batches of 8."""
    batches = (inputs[start : start + 8] for start in range(0, len(inputs), 8))
    return np.concatenate([np.asarray(adapter.forward(batch)).argmax(axis=1) for batch in batches])


def median_s(run: Callable[[], object], seconds: float) -> float:
    """Gives the median seconds of a call, over at least five calls and so many seconds, after two unmeasured."""
    for _ in range(2):
        run()
    durations: list[float] = []
    while len(durations) < 5 or sum(durations) < seconds:
        start = time.perf_counter()
        run()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def describe_machine(device: str) -> dict[str, object]:
    """Names the device, the versions and the threads that the figures belong to."""
    on_gpu = device != "cpu"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else cpu_name(),
        "cuda": torch.version.cuda if on_gpu else None,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def cpu_name() -> str:
    """Gives the kernel's name of the CPU, or the architecture where it has none."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def print_table(rows: Sequence[HostStep | ForwardRow]) -> None:
    """Prints rows of one kind as a Markdown table, ready for a document."""
    if not rows:
        return
    cells = [list(asdict(rows[0])), *([cell(value) for value in asdict(row).values()] for row in rows)]
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
