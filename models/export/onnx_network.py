"""Exports a network to ONNX, and runs an ONNX file with ONNX Runtime.

The graph goes from pixels to raw outputs, so it includes the normalisation: pixels in uint8 are a quarter of the bytes
of the same image in float32, which matters where they are sent to a server.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import io
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.entries import LetterboxPreprocessing
from models.errors import ExportError
from models.execution.executor import folded
from models.execution.onnxruntime_executor import OnnxRuntimeExecutor
from models.execution.pixel_network import PixelNetwork
from models.export.captured_network import CapturedNetwork
from models.runtime import Runtime

INPUT: Final = "pixels"
PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
_OPSET: Final = 18
"""Of ONNX 1.13; every ONNX Runtime since 1.14 and TensorRT since 8.6 read it."""


def require_exporter() -> None:
    """Checks that the packages of the extra `export` are installed.

    Raises:
        ExportError: One of them is missing; the message says how to install them.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ExportError("", f"exporting needs {', '.join(missing)}: pip install 'tapetum[export]'")


class OnnxExecutor(OnnxRuntimeExecutor):
    """Runs an ONNX file of `export_onnx` with ONNX Runtime on the CPU.

    Args:
        path: The file.
        threads: Of one run; None: as many as torch has.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        super().__init__(path, None, Runtime(precision="fp32", num_threads=threads))


def output_names(count: int) -> list[str]:
    """Names of a graph's outputs, in the order of the network's."""
    return [f"output_{index}" for index in range(count)]


def export_onnx(model: CapturedNetwork, example: NDArray[np.uint8], path: Path) -> OnnxExecutor:
    """Writes a network as an ONNX file.

    The batch is dynamic, and so are height and width of the input of a letterboxed model.

    Args:
        model: The model.
        example: (N, H, W, 3) uint8, N at least 2, of a usual size.
        path: Of the file to write. Weights of more than 2 GiB are written beside it.

    Returns:
        The file, opened.

    Raises:
        ExportError: torch's exporter does not support the network, or fixes a dimension that must be dynamic.
    """
    name = model.adapter.entry.name
    network = PixelNetwork(folded(model.network), model.preprocessing).eval()
    several_sizes = isinstance(model.preprocessing, LetterboxPreprocessing)
    dynamic = {0: torch.export.Dim.DYNAMIC}
    if several_sizes:
        dynamic |= {1: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO}
    count = len(model.executor.run_all(example[:1]))
    try:
        with quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                network,
                (torch.from_numpy(example),),
                dynamo=True,
                dynamic_shapes=(dynamic,),
                input_names=[INPUT],
                output_names=output_names(count),
                opset_version=_OPSET,
                verbose=False,
            )
            program.save(path)
    except Exception as error:  # torch has no common class for what its exporter does not support
        raise ExportError(name, f"torch cannot export the network: {_first_line(error)}") from error
    executor = OnnxExecutor(path)
    fixed = [size for size in executor.input_shape[: 3 if several_sizes else 1] if isinstance(size, int)]
    if fixed:
        raise ExportError(name, f"torch fixes the input at {executor.input_shape} while exporting")
    return executor


@contextmanager
def quiet() -> Generator[None]:
    """Without what torch's exporter says about itself; its exceptions say what matters."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _first_line(error: BaseException) -> str:
    """What went wrong, of an exception of the exporter: the first line of the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
