"""Runs an image network from an ONNX file: by OpenVINO on CPUs, or by ONNX Runtime."""

from pathlib import Path

from models.entries import LetterboxPreprocessing, Preprocessing
from models.errors import ModelsError, NotConvertible
from models.execution.external import NetworkExecutor
from models.execution.onnx_file import check_onnx
from models.execution.onnx_input import Channels
from models.execution.precision import single_examples
from models.files import file_digest
from models.runtime import Runtime


def open_onnx(
    path: Path,
    preprocessing: Preprocessing | LetterboxPreprocessing,
    runtime: Runtime,
    channels: Channels = "rgb",
    digest: str | None = None,
) -> NetworkExecutor:
    """Opens an ONNX file with an image network.

    The network has one image as its input, (N, 3, H, W) or (N, H, W, 3), float32, float16 or uint8, each of whose axes
    may be dynamic or fixed. With a fixed batch size, batches run in passes of that size. It may also take
    `models.execution.onnx_input.SIZES`, and gets the size of its input. Pixels are normalised, unless it takes uint8:
    then it does that itself. A test picture has run once the file is open.

    Args:
        path: Of the file.
        preprocessing: Of the model; gives the normalisation, and the sizes that the network must take.
        runtime: From `models.runtime.Runtime.resolve_for_onnx`.
        channels: Order of the colours that the network takes.
        digest: sha256 of the file in hex, where that is known already.

    Returns:
        From (N, H, W, 3) uint8 RGB to the outputs of the network, on the CPU, in their order: floats as float32,
        integers as int64.

    Raises:
        ValueError: It is no whole ONNX file, or takes something else than images of the model's sizes. The message
            follows the name of the file.
        NotConvertible: The backend cannot run the network.
        PrecisionTooLow: The precision changes the outputs of the network.
        UnsupportedRuntime: The backend cannot use the device.
        OSError: The file cannot be read.
    """
    check_onnx(path)
    if runtime.backend == "openvino":
        from models.execution.openvino_onnx import open_openvino

        return open_openvino(path, digest or file_digest(path), preprocessing, runtime, channels)
    from models.execution.onnxruntime_executor import OnnxRuntimeExecutor, reason_of

    executor = OnnxRuntimeExecutor(path, preprocessing, runtime, channels)
    try:
        for pixels in single_examples(preprocessing):
            executor.run_all(pixels.numpy())
    except ModelsError:
        raise
    except Exception as error:  # of many classes without a base class
        raise NotConvertible(f"onnxruntime cannot run {path.name}: {reason_of(error)}") from error
    return executor
