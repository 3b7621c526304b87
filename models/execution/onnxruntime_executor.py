"""Runs the network of an ONNX file by ONNX Runtime (https://onnxruntime.ai), an optional package."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.entries import LetterboxPreprocessing, Preprocessing
from models.errors import NotConvertible, UnsupportedRuntime
from models.execution.executor import normalise
from models.execution.external import NetworkExecutor
from models.execution.finite import require_finite
from models.execution.onnx_input import SIZES, Channels, ImageInput, TensorInput
from models.execution.passes import images_per_pass, run_in_passes, to_tensor
from models.runtime import Runtime

_CUDA: Final = "CUDAExecutionProvider"
_ERRORS_ONLY: Final = 3
"""Of the levels of its log."""
_PREFIX: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed:\s*")
_TYPES: Final[dict[str, str]] = {"tensor(float)": "float32", "tensor(float16)": "float16"}


class OnnxRuntimeExecutor(NetworkExecutor):
    """A network on a CPU or a GPU; its outputs are on the CPU. Thread-safe: several threads may run batches at once.

    Args:
        path: Of the file.
        preprocessing: Of the model; gives the normalisation. May be None for a network that takes uint8.
        runtime: Device and threads.
        channels: Order of the colours that the network takes.

    Attributes:
        input_shape: Sizes of the axes of the image; names of those that may have any.
        output_shapes: Likewise, of each output.

    Raises:
        ValueError: The network takes something else than images of the model's sizes.
        NotConvertible: ONNX Runtime cannot run the network.
        UnsupportedRuntime: ONNX Runtime cannot use the GPU.
    """

    def __init__(
        self,
        path: Path,
        preprocessing: Preprocessing | LetterboxPreprocessing | None,
        runtime: Runtime,
        channels: Channels = "rgb",
    ) -> None:
        self._session = _session(path, runtime)
        inputs: list[Any] = self._session.get_inputs()
        self._image = ImageInput.among([_described(each) for each in inputs])
        if preprocessing is not None:
            self._image.require_size(preprocessing)
        elif self._image.dtype != "uint8":
            raise ValueError(f"takes {self._image.dtype}, so that its normalisation must be known")
        self._normalisation = _normalisation(preprocessing, channels)
        self._is_bgr = channels == "bgr"
        self._on_gpu = runtime.on_gpu
        self.input_shape: list[int | str] = next(each.shape for each in inputs if each.name == self._image.name)
        self.output_shapes: list[list[int | str]] = [output.shape for output in self._session.get_outputs()]

    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """See `models.execution.external.NetworkExecutor.run_all`."""
        fixed = self._image.batch_size
        step = fixed or (len(pixels) if self._on_gpu else images_per_pass(*pixels.shape[1:3]))
        outputs = run_in_passes(self._run, pixels, step, padded=fixed is not None)
        require_finite(*outputs)
        return outputs

    def _run(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        values = {self._image.name: self._network_input(pixels)}
        if self._image.takes_sizes:
            count, height, width = pixels.shape[:3]
            values[SIZES] = np.tile(np.array([width, height], np.int64), (count, 1))
        return tuple(to_tensor(output) for output in self._session.run(None, values))

    def _network_input(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """(N, H, W, 3) uint8 RGB to what the network takes."""
        if self._is_bgr:
            pixels = pixels[..., ::-1]
        values: NDArray[Any] = pixels.transpose(0, 3, 1, 2)
        if self._image.dtype != "uint8":
            values = normalise(torch.from_numpy(np.ascontiguousarray(pixels)), *self._normalisation).numpy()
        if self._image.channels_last:
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(values, self._image.dtype)


def _normalisation(
    preprocessing: Preprocessing | LetterboxPreprocessing | None, channels: Channels
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the colours, in the order of the network."""
    mean, std = (preprocessing.mean, preprocessing.std) if preprocessing else ((0.0,) * 3, (1.0,) * 3)
    step = -1 if channels == "bgr" else 1
    return torch.tensor(mean[::step]), torch.tensor(std[::step])


def _session(path: Path, runtime: Runtime) -> Any:
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.num_threads or torch.get_num_threads()
    options.log_severity_level = _ERRORS_ONLY
    providers: list[Any] = ["CPUExecutionProvider"]
    if runtime.on_gpu:
        _require_cuda(onnxruntime)
        providers.insert(0, (_CUDA, {"device_id": int(runtime.device.partition(":")[2] or 0)}))
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # of many classes without a base class
        raise NotConvertible(f"onnxruntime cannot run {path.name}: {reason_of(error)}") from error
    if runtime.on_gpu and session.get_providers()[0] != _CUDA:
        raise UnsupportedRuntime(f"onnxruntime cannot use the GPU for {path.name}; its log says why; take device cpu")
    return session


def _require_cuda(onnxruntime: Any) -> None:
    if _CUDA not in onnxruntime.get_available_providers():
        raise UnsupportedRuntime(
            "this onnxruntime has no CUDA provider; install onnxruntime-gpu in its place, or take device cpu"
        )
    onnxruntime.preload_dlls()  # those of CUDA that came with torch


def _described(given: Any) -> TensorInput:
    sizes = tuple(size if isinstance(size, int) else None for size in given.shape)
    dtype: str = given.type
    return TensorInput(given.name, sizes, _TYPES.get(dtype, dtype.removeprefix("tensor(").rstrip(")")))


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line of ONNX Runtime's message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _PREFIX.sub("", lines[0])[:200]
