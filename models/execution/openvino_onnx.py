"""Runs the network of an ONNX file by OpenVINO; normalisation is added in front of it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from models.entries import LetterboxPreprocessing, Preprocessing
from models.errors import ModelsError, NotConvertible
from models.execution import openvino_cache
from models.execution.onnx_input import Channels, ImageInput, TensorInput
from models.execution.openvino_conversion import flipped
from models.execution.openvino_executor import OpenVinoExecutor
from models.execution.openvino_library import FrontEndManager, openvino, opset
from models.execution.openvino_network import OpenVinoNetwork, compile_model, open_cached
from models.execution.precision import require_precision, single_examples
from models.runtime import Runtime

_NOISE: Final = ("Exception from ", "Check '", "FrontEnd API failed", "Model wasn't fully", "Summary:", "Errors during")
"""How the lines of OpenVINO's messages begin that name places in its own source code."""
_BEFORE_ALL: Final = -(2**31)
"""End of a reversed slice that reaches the first element, or a smaller one."""
_SOURCE_TYPES: Final[dict[str, str]] = {"f32": "float32", "f16": "float16", "u8": "uint8", "i64": "int64"}
"""OpenVINO's names of types, in the words of numpy."""


def open_openvino(
    path: Path,
    digest: str,
    preprocessing: Preprocessing | LetterboxPreprocessing,
    runtime: Runtime,
    channels: Channels,
) -> OpenVinoExecutor:
    """Compiles the network of an ONNX file, or reads it from the cache of compiled networks.

    See `models.execution.onnx_executor.open_onnx`.

    Args:
        path: Of the file.
        digest: sha256 of the file.
        preprocessing: Of the model.
        runtime: A resolved runtime.
        channels: Order of the colours that the network takes.

    Raises:
        ValueError: The network takes something else than images of the model's sizes.
        NotConvertible: OpenVINO cannot run it.
        PrecisionTooLow: The precision changes its outputs.
    """

    def compile_it() -> Any:
        model = _pixel_model(path, preprocessing, channels)
        return _compiled(model, path.name, preprocessing, runtime)

    cached = openvino_cache.cached_file_path(digest, f"{preprocessing} {channels} {runtime.precision}")
    return _executor(open_cached(cached, runtime, compile_it, path.name))


def _executor(network: OpenVinoNetwork) -> OpenVinoExecutor:
    return OpenVinoExecutor(network, network.input_shape[0])


def _compiled(
    model: openvino.Model, name: str, preprocessing: Preprocessing | LetterboxPreprocessing, runtime: Runtime
) -> Any:
    """The model in the precision of the runtime, which has run, and been compared with float32."""
    pictures = single_examples(preprocessing)
    try:
        compiled = compile_model(model, runtime)
        reduced = _executor(OpenVinoNetwork(compiled))
        if runtime.precision == "fp32":
            for pixels in pictures:
                reduced.run_all(pixels.numpy())
        else:
            full = _executor(OpenVinoNetwork(compile_model(model, replace(runtime, precision="fp32"))))
            require_precision(reduced, full, pictures, runtime)
    except ModelsError:
        raise
    except Exception as error:  # which OpenVINO raises of many classes
        raise NotConvertible(f"OpenVINO cannot run {name}: {reason_of(error)}") from error
    return compiled


def _pixel_model(
    path: Path, preprocessing: Preprocessing | LetterboxPreprocessing, channels: Channels
) -> openvino.Model:
    """The network of a file, from (N, H, W, 3) uint8 RGB."""
    try:
        frontend = FrontEndManager().load_by_framework("onnx")
        model = frontend.convert(frontend.load(str(path)))
    except Exception as error:  # likewise
        raise NotConvertible(f"OpenVINO cannot run {path.name}: {reason_of(error)}") from error
    image = ImageInput.among([_described(parameter) for parameter in model.get_parameters()])
    image.require_size(preprocessing)
    try:
        return _with_pixels(model, image, preprocessing, channels)
    except RuntimeError as error:
        raise NotConvertible(f"OpenVINO cannot run {path.name}: {reason_of(error)}") from error


def _described(parameter: Any) -> TensorInput:
    shape = parameter.get_partial_shape()
    sizes = tuple(None if size.is_dynamic else size.get_length() for size in shape) if shape.rank.is_static else ()
    dtype: str = parameter.get_element_type().to_string()
    return TensorInput(parameter.get_friendly_name(), sizes, _SOURCE_TYPES.get(dtype, dtype))


def _with_pixels(
    model: openvino.Model,
    image: ImageInput,
    preprocessing: Preprocessing | LetterboxPreprocessing,
    channels: Channels,
) -> openvino.Model:
    """Puts the normalisation in front of a network, and its sizes in place of their input."""
    size = preprocessing.fixed_size or (image.height, image.width)
    shape = [-1 if length is None else length for length in (image.batch_size, *size)]
    pixels = opset.parameter(openvino.PartialShape([*shape, 3]), openvino.Type.u8, name="pixels")
    given = {parameter.get_friendly_name(): parameter for parameter in model.get_parameters()}
    replacements = {image.name: _network_input(pixels, image, preprocessing, channels)}
    if image.takes_sizes:
        (sizes,) = given.keys() - {image.name}
        replacements[sizes] = _input_sizes(pixels)
    for name, values in replacements.items():
        for target in given[name].output(0).get_target_inputs():
            target.replace_source_output(values)
        model.remove_parameter(given[name])
    model.add_parameters([pixels])
    _replace_flips(model)
    model.validate_nodes_and_infer_types()
    return model


def _network_input(
    pixels: Any, image: ImageInput, preprocessing: Preprocessing | LetterboxPreprocessing, channels: Channels
) -> Any:
    """(N, H, W, 3) uint8 RGB to what the network takes."""
    order = [2, 1, 0] if channels == "bgr" else [0, 1, 2]
    values = opset.gather(pixels, order, 3) if channels == "bgr" else pixels
    if not image.channels_last or image.dtype != "uint8":
        values = opset.transpose(values, [0, 3, 1, 2])
    if image.dtype != "uint8":
        # OpenVINO normalises four times as fast in this order, see `models.execution.pixel_network`.
        mean, std = (_per_channel(numbers, order) for numbers in (preprocessing.mean, preprocessing.std))
        values = opset.divide(opset.subtract(opset.convert(values, "f32"), mean), std)
        values = opset.convert(values, "f16") if image.dtype == "float16" else values
        values = opset.transpose(values, [0, 2, 3, 1]) if image.channels_last else values
    return values.output(0)


def _per_channel(numbers: tuple[float, float, float], order: list[int]) -> Any:
    return opset.constant([[[[numbers[index]]] for index in order]], openvino.Type.f32)


def _input_sizes(pixels: Any) -> Any:
    """(N, 2) int64: width and height of the input, for each image."""
    shape = opset.shape_of(pixels)
    count = opset.gather(shape, [0], 0)
    return opset.broadcast(opset.gather(shape, [2, 1], 0), opset.concat([count, [2]], 0)).output(0)


def _replace_flips(model: openvino.Model) -> None:
    """Replaces slices that reverse whole axes, as `torch.flip` is exported."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Slice" or node.get_input_size() < 5:
            continue
        first, last, step, axes = (node.input_value(index).get_node() for index in range(1, 5))
        if any(each.get_type_name() != "Constant" for each in (first, last, step, axes)):
            continue
        reverses = all(first.data == -1) and all(step.data == -1) and all(last.data <= _BEFORE_ALL)
        if reverses:
            values = flipped(node.input_value(0), [int(axis) for axis in axes.data])
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(values)


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line of OpenVINO's message."""
    lines = [line.strip(" -\t") for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_NOISE)]
    return (telling or [type(error).__name__])[0][:200]
