"""Measures bundled models that run from ONNX files against the same models as they come, on this machine's CPUs.

    python -m loadtests.onnx                                   # a minute on one thread
    python -m loadtests.onnx --model yolo-person --threads 2 --seconds 5

Each model is exported as users export theirs, from normalised float32 (N, 3, H, W), and runs in its own adapter:
`forward` and `postprocess` of photos, in windows of some seconds, in one order and then in the other. It needs the
extra `export`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from loadtests.device import cpu_name, print_table
from loadtests.device_onnx import OnnxRuntime
from loadtests.device_timing import AnyAdapter, default_parameters
from models.adapter import ModelInput
from models.catalog.loading import load
from models.entries import LetterboxPreprocessing
from models.execution.executor import folded
from models.execution.onnx_executor import open_onnx
from models.export.agreement import photo_batches
from models.export.captured_network import CapturedNetwork, capture
from models.export.onnx_network import quiet, require_exporter
from models.runtime import Backend, Precision, Runtime, cpu_has_bf16

MODELS: Final = ("efficientnet-lite0", "yolo-person")


@dataclass(frozen=True)
class Variant:
    """One way of running a model.

    Attributes:
        source: `bundled` or `onnx`.
        backend: What runs the network.
        precision: Of the network.
    """

    source: str
    backend: Backend
    precision: Precision


def main() -> None:
    """Measures and prints a table for each model."""
    options = parse_options()
    require_exporter()
    torch.set_num_threads(options.threads)
    print(f"{cpu_name()}, threads: {options.threads}, images a batch: {options.batch_size}\n")
    for name in options.model:
        print(f"## {name}\n")
        print_table(rows(name, options.batch_size, options.seconds))


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Measure ONNX files against the bundled adapters.")
    parser.add_argument("--model", nargs="+", default=MODELS)
    parser.add_argument("--threads", type=int, default=1, help="threads of a run")
    parser.add_argument("--batch-size", type=int, default=4, help="images of a batch")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window")
    return parser.parse_args()


def rows(name: str, batch_size: int, seconds: float) -> list[dict[str, object]]:
    """Measures a model.

    Args:
        name: Of the catalog.
        batch_size: Images of a batch.
        seconds: Length of a window; each variant has two.

    Returns:
        For every variant its images a second, in one order and in the other, and both relative to the bundled model of
        that precision.
    """
    captured = capture(name)
    with tempfile.TemporaryDirectory() as folder:
        path = exported(captured, Path(folder, "model.onnx"))
        adapters = {variant: adapter_of(name, variant, captured, path) for variant in variants()}
        photos = photo_batches(captured.adapter)[0]
        batch = [ModelInput(photos[index % len(photos)], photos.shape[1:3]) for index in range(batch_size)]
        order = list(adapters)
        rounds = [
            {variant: images_per_s(adapters[variant], batch, seconds) for variant in turn}
            for turn in (order, order[::-1])
        ]
    return [row(variant, rounds) for variant in adapters]


def variants() -> list[Variant]:
    """The ways of running a model on this machine: of each precision the bundled one first."""
    precisions: list[Precision] = ["bf16", "fp32"] if cpu_has_bf16() else ["fp32"]
    both = [Variant(source, "openvino", each) for each in precisions for source in ("bundled", "onnx")]
    return [*both, Variant("onnx", "onnxruntime", "fp32")]


def row(variant: Variant, rounds: Sequence[dict[Variant, float]]) -> dict[str, object]:
    """A row of the table."""
    reference = Variant("bundled", "openvino", variant.precision)
    rates = {f"images/s, order {index + 1}": round(found[variant], 1) for index, found in enumerate(rounds)}
    ratios = {
        f"ratio, order {index + 1}": round(found[variant] / found[reference], 3) for index, found in enumerate(rounds)
    }
    return {"source": variant.source, "backend": variant.backend, "precision": variant.precision, **rates, **ratios}


def adapter_of(name: str, variant: Variant, captured: CapturedNetwork, path: Path) -> AnyAdapter:
    """Loads the model of a variant."""
    runtime = Runtime(precision=variant.precision, backend=variant.backend)
    if variant.source == "bundled":
        return load(name, runtime)
    executor = open_onnx(path, captured.preprocessing, runtime.resolve_for_onnx())
    return load(name, OnnxRuntime(precision=variant.precision, backend="torch", network=executor))


def exported(captured: CapturedNetwork, path: Path) -> Path:
    """Writes a network as an ONNX file with float32 images; batches of any size, and of a detector images of any."""
    axes: dict[int, Any] = {0: torch.export.Dim.DYNAMIC}
    if isinstance(captured.preprocessing, LetterboxPreprocessing):
        axes |= {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    height, width = photo_batches(captured.adapter)[0].shape[1:3]
    with quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            folded(captured.network),
            (torch.rand(2, 3, height, width),),
            dynamo=True,
            dynamic_shapes=(axes,),
            verbose=False,
        )
        program.save(path)
    return path


def images_per_s(adapter: AnyAdapter, batch: Sequence[ModelInput], seconds: float) -> float:
    """Gives the images a second of `forward` and `postprocess`, after two unmeasured batches."""
    wanted = [default_parameters(adapter)] * len(batch)
    for _ in range(2):
        adapter.postprocess(adapter.forward(batch), batch, wanted)
    count, started_at = 0, time.perf_counter()
    while time.perf_counter() - started_at < seconds:
        adapter.postprocess(adapter.forward(batch), batch, wanted)
        count += len(batch)
    return count / (time.perf_counter() - started_at)


if __name__ == "__main__":
    main()
