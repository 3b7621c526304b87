"""The ways of running a network that are measured side by side: backends, options of torch, precisions, threads."""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch

from loadtests.device_aot import AotRuntime
from loadtests.device_onnx import OnnxRuntime
from loadtests.device_pictures import SEED
from loadtests.device_timing import AnyAdapter
from models.catalog.loading import load
from models.catalog.lookup import find
from models.classification.classifier import Classifier
from models.classification.efficientnet_lite import EfficientNetLite
from models.classification.torchvision_networks import build, drop_auxiliary_heads
from models.errors import ExportError, UnknownModel, UnsupportedRuntime, WeightsUnavailable
from models.execution.executor import executor_for
from models.runtime import Precision, Runtime
from models.sources.torchvision_weights import find_weights

MODES: Final[dict[str, Runtime]] = {
    "eager": Runtime(fuse=False, channels_last=False, backend="torch"),
    "channels_last": Runtime(fuse=False, backend="torch"),
    "fused": Runtime(backend="torch"),
    "compiled": Runtime(compile=True, backend="torch"),
    "aot": Runtime(backend="torch"),
    "onnxruntime": Runtime(backend="torch"),
    "openvino": Runtime(backend="openvino"),
}
MeasuredPrecision = Precision | Literal["int8"]
"""int8: a card of the catalog that `tapetum models quantize` made of the model, NAME-int8."""
SLOW_TO_START: Final = ("compiled", "aot", "onnxruntime")
"""Modes that compile or export for half a minute a model."""


@dataclass(frozen=True)
class Variant:
    """One way of running a network.

    Attributes:
        precision: Of weights and activations.
        mode: A key of `MODES`.
        threads: Of one run.
    """

    precision: MeasuredPrecision
    mode: str
    threads: int


def load_variants(
    name: str, device: str, precisions: Sequence[MeasuredPrecision], modes: Sequence[str], threads: Sequence[int]
) -> dict[Variant, AnyAdapter]:
    """Loads a model in every variant that this machine can do; the others are named on stderr."""
    loaded: dict[Variant, AnyAdapter] = {}
    for variant in itertools.starmap(Variant, itertools.product(precisions, modes, threads)):
        torch.set_num_threads(variant.threads)
        try:
            chosen = f"{name}-int8" if variant.precision == "int8" else name
            loaded[variant] = adapter_for(chosen, _runtime_of(name, variant, device))
        except (UnsupportedRuntime, ExportError, UnknownModel) as error:
            print(f"{variant.precision} {variant.mode}: {error}", file=sys.stderr)
    return loaded


def adapter_for(name: str, runtime: Runtime) -> AnyAdapter:
    """Loads a model, or builds a classifier with random weights where there are none."""
    entry = find(name)
    try:
        return load(name, runtime)
    except WeightsUnavailable as error:
        if entry.task != "classification":
            sys.exit(f"{error}; with random ones, post-processing would have nothing to do")
        print(f"random weights: {error}", file=sys.stderr)
    torch.manual_seed(SEED)
    network: torch.nn.Module = EfficientNetLite()
    if name.startswith("torchvision/"):
        network = build(find_weights(name), entry.architecture)
        drop_auxiliary_heads(network, entry.architecture)
    class_names = tuple(f"class {index}" for index in range(entry.class_count))
    runtime = runtime.resolve()
    executor = executor_for(network.eval(), entry.image_preprocessing, runtime)
    return Classifier(entry, class_names, runtime, executor, "random")


def _runtime_of(name: str, variant: Variant, device: str) -> Runtime:
    if variant.precision == "int8":
        return replace(MODES[variant.mode], device=device)
    if variant.mode != "onnxruntime":
        runtime = replace(MODES[variant.mode], device=device, precision=variant.precision)
        return AotRuntime.of(runtime) if variant.mode == "aot" else runtime
    if variant.precision != "fp32" or device != "cpu":
        raise UnsupportedRuntime("exported networks are for the CPU and float32")
    return OnnxRuntime.of(name, variant.threads)
