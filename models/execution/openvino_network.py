"""Runs networks by OpenVINO, a library that compiles them for the CPU: layouts, fused operations, bf16 arithmetic."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import NotConvertible
from models.execution import openvino_cache
from models.execution.alone import is_alone
from models.execution.openvino_conversion import convert
from models.execution.openvino_library import openvino
from models.execution.passes import to_tensor
from models.runtime import Runtime

_TYPES: Final = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the precisions."""
_TOLERANCES: Final = {"fp32": 1e-3, "bf16": 0.2}
"""The root mean square of the differences between a converted network and its original, relative to that of the
outputs. The bundled models differ by 1e-6 in fp32; a wrong conversion gives something else altogether."""

_CACHED_PRIMITIVES: Final = 500
"""Machine code that OpenVINO keeps for each kind of operation and stream: some eight input sizes of a network with 60
convolutions. Its default of 5,000 lets a YOLOX grow by 160 MB over the 23 sizes that photos may have; code that was
dropped costs the next image of its size some 30 ms."""

_log = logging.getLogger(__name__)


class OpenVinoNetwork:
    """A network that is compiled for this CPU. Several threads may run it at once.

    Args:
        compiled: The network, with one input.
        alone: The same, compiled for the threads of an image that is alone (`models.execution.alone`); None: no others.
        blob: The memory that its weights are in, which OpenVINO does not keep.
    """

    def __init__(self, compiled: Any, alone: Any = None, blob: NDArray[np.uint8] | None = None) -> None:
        self._usual = _Requests(compiled)
        self._alone = _Requests(alone) if alone is not None else self._usual
        self._blob = blob
        self._ran_at = time.monotonic()
        self._holds_activations = False
        with _LOCK:
            _OPENED.add(self)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Sizes of the axes of the input; None for those that may have any."""
        shape = self._usual.compiled.input(0).get_partial_shape()
        return tuple(None if size.is_dynamic else size.get_length() for size in shape)

    def __call__(self, values: NDArray[Any]) -> tuple[Tensor, ...]:
        """Runs the network.

        Args:
            values: The input, C-contiguous.

        Returns:
            The outputs, see `models.execution.passes.to_tensor`.
        """
        self._ran_at = time.monotonic()
        with (self._alone if is_alone() else self._usual).one() as request:
            request.infer([values], share_inputs=True)
            self._holds_activations = True
            return tuple(to_tensor(np.array(output.data)) for output in request.output_tensors)

    def release_activations(self, idle_s: float) -> None:
        """Frees the activations, unless the network is running or was started within the last `idle_s` seconds."""
        if self._holds_activations and time.monotonic() - self._ran_at >= idle_s:
            with suppress(RuntimeError):  # which OpenVINO raises while it is running
                self._holds_activations = False
                for requests in {self._usual, self._alone}:
                    requests.compiled.release_memory()


class _Requests:
    """The inference requests of a compiled network, each of which one thread uses at a time."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self._idle: deque[Any] = deque()

    @contextmanager
    def one(self) -> Generator[Any]:
        """An idle request, or a new one; one that failed is dropped."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self.compiled.create_infer_request()
        yield request
        self._idle.append(request)


_LOCK: Final = threading.Lock()
_OPENED: Final[weakref.WeakSet[OpenVinoNetwork]] = weakref.WeakSet()


def release_activations(idle_s: float) -> None:
    """Frees the activations of idle networks, see `models.execution.memory`."""
    with _LOCK:
        opened = list(_OPENED)
    for network in opened:
        network.release_activations(idle_s)


def open_network(network: nn.Module, example: Tensor, other: Tensor, runtime: Runtime) -> OpenVinoNetwork:
    """Compiles a network, or reads it from the cache.

    Args:
        network: A float32 network in evaluation mode, from one tensor to one or a tuple of them.
        example: An input.
        other: Another input; the dimensions in which the two differ are dynamic.
        runtime: Precision and threads.

    Raises:
        NotConvertible: OpenVINO cannot run the network, or not in this precision.
    """
    path = openvino_cache.cached_path(network, (example, other), runtime.precision)
    return open_cached(path, runtime, lambda: _compile(network, example, other, runtime), type(network).__name__)


def open_cached(path: Path, runtime: Runtime, compile_it: Callable[[], Any], name: str) -> OpenVinoNetwork:
    """Reads a compiled network from the cache, or compiles it and writes it there.

    One that was written is read again: as compiled it also keeps its weights as they were before, and in memory that
    processes do not share.

    Args:
        path: From `models.execution.openvino_cache`.
        runtime: Threads.
        compile_it: From `compile_model`.
        name: Of the network, for the log.

    Raises:
        NotConvertible: By `compile_it`.
    """
    if (opened := _read(path, runtime)) is not None:
        return opened
    started_at = time.monotonic()
    exported = np.frombuffer(bytearray(compile_it().export_model().getvalue()), np.uint8)
    openvino_cache.write(path, exported)
    _log.info("converted %s in %.1f s", name, time.monotonic() - started_at)
    return _read(path, runtime) or _opened(exported, runtime)


def open_representation(xml: bytes, weights: NDArray[np.uint8], runtime: Runtime) -> OpenVinoNetwork:
    """Compiles a network that is given in OpenVINO's intermediate representation.

    Args:
        xml: The graph.
        weights: Its constants.
        runtime: Threads, and the precision of what is not quantized.

    Raises:
        NotConvertible: OpenVINO cannot read it.
    """
    try:
        model = _core().read_model(xml, openvino.Tensor(weights, shared_memory=True))
        return OpenVinoNetwork(_core().compile_model(model, "CPU", _config(runtime)), blob=weights)
    except RuntimeError as error:
        raise NotConvertible(f"OpenVINO cannot read the network: {_first_line(error)}") from error


def _read(path: Path, runtime: Runtime) -> OpenVinoNetwork | None:
    blob = openvino_cache.read(path)
    if blob is None:
        return None
    try:
        return _opened(blob, runtime)
    except RuntimeError as error:
        _log.warning("%s cannot be read, the network is converted again: %s", path, _first_line(error))
        return None


def _opened(blob: NDArray[np.uint8], runtime: Runtime) -> OpenVinoNetwork:
    """Opens a compiled network, and a second time for images that are alone."""

    def imported(runtime: Runtime) -> Any:
        return _core().import_model(openvino.Tensor(blob, shared_memory=True), "CPU", _config(runtime))

    threads = runtime.num_threads_alone
    is_other = threads not in (None, runtime.num_threads)
    alone = imported(replace(runtime, num_threads=threads, num_streams=1)) if is_other else None
    usual = imported(runtime)
    openvino_cache.drop_pages(blob)
    return OpenVinoNetwork(usual, alone, blob)


def compile_model(model: openvino.Model, runtime: Runtime) -> Any:
    """Compiles a model of OpenVINO for this CPU.

    Args:
        model: The model.
        runtime: Precision and threads.

    Raises:
        NotConvertible: OpenVINO has no such precision on this CPU.
        RuntimeError: OpenVINO cannot run the model.
    """
    compiled = _core().compile_model(model, "CPU", _config(runtime))
    if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != _TYPES[runtime.precision]:
        raise NotConvertible(f"OpenVINO has no {runtime.precision} on this CPU")
    return compiled


def _compile(network: nn.Module, example: Tensor, other: Tensor, runtime: Runtime) -> Any:
    try:
        compiled = compile_model(convert(network, example, other), runtime)
        run = OpenVinoNetwork(compiled)
        agrees = all(_agrees(network, run, values, _TOLERANCES[runtime.precision]) for values in (example, other))
    except Exception as error:  # of many classes, where torch cannot trace or OpenVINO cannot run a network
        raise NotConvertible(f"OpenVINO cannot run {type(network).__name__}: {_first_line(error)}") from error
    if not agrees:
        raise NotConvertible(f"OpenVINO computes something else than {type(network).__name__}")
    return compiled


@torch.inference_mode()
def _agrees(network: nn.Module, run: OpenVinoNetwork, values: Tensor, tolerance: float) -> bool:
    outputs: Any = network(values)
    expected: tuple[Tensor, ...] = (outputs,) if isinstance(outputs, Tensor) else outputs
    return all(
        one.shape == other.shape and (one - other).square().sum() <= tolerance**2 * one.square().sum()
        for one, other in zip(expected, run(values.numpy()), strict=True)
    )


def _config(runtime: Runtime) -> dict[str, Any]:
    threads = runtime.num_threads or torch.get_num_threads()
    return {
        "INFERENCE_PRECISION_HINT": _TYPES[runtime.precision],
        "NUM_STREAMS": runtime.num_streams,
        "INFERENCE_NUM_THREADS": runtime.num_streams * threads,
        "CPU_RUNTIME_CACHE_CAPACITY": _CACHED_PRIMITIVES,
        "ENABLE_CPU_PINNING": False,  # replicas would all be pinned to the same cores
    }


@cache
def _core() -> openvino.Core:
    return openvino.Core()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
