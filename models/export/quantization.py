"""Post-training quantization to int8 by NNCF (https://github.com/openvinotoolkit/nncf), for OpenVINO on CPUs.

The ranges of activations are calibrated on images. Weights are quantized by channel to seven of the eight bits: a CPU
without VNNI adds two products in 16 bits, which overflows with all eight (EfficientNet-Lite0 on AVX2: the same top-1
for 90 % of photos instead of 98 %).
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.catalog.cards import write_card
from models.catalog.lookup import find
from models.classification.architectures import is_classifier
from models.entries import Accuracy, CatalogEntry, Speed
from models.errors import ExportError, ImageError
from models.execution.pixel_network import PixelNetwork
from models.execution.precision import examples
from models.export.captured_network import CapturedNetwork, capture
from models.sources.card_weights import with_quantized
from models.sources.timm_manifest import PREFIX as TIMM
from models.sources.torchvision_manifest import PREFIX
from models.sources.weights_files import fetch, read_state_dict


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A quantized model that is not written yet.

    Attributes:
        card: Without figures of accuracy and speed.
        state: Its state dict, and the quantized network.
    """

    card: CatalogEntry
    state: Mapping[str, Tensor]

    def write(self, folder: Path, accuracy: tuple[Accuracy, ...] = (), speed: tuple[Speed, ...] = ()) -> Path:
        """Writes the card and its weights, see `models.catalog.cards.write_card`."""
        return write_card(folder, replace(self.card, accuracy=accuracy, speed=speed), self.state)


def require_quantizer() -> None:
    """Raises unless the extra `quantize` is installed.

    Raises:
        ExportError: It is not.
    """
    missing = [name for name in ("openvino", "nncf") if find_spec(name) is None]
    if missing:
        message = f"quantizing needs the Python package {missing[0]}: pip install 'tapetum[quantize]'"
        raise ExportError("", message)


def quantize(name: str, new_name: str, images: Iterable[bytes]) -> QuantizedModel:
    """Quantizes a model.

    Args:
        name: Of the model, a classifier or one with a card.
        new_name: Of the quantized one.
        images: Encoded images, on which the ranges of activations are calibrated; a few hundred suffice. Those that
            cannot be decoded are left out.

    Raises:
        ExportError: The model cannot be quantized, or there are no images.
        ModelsError: It cannot be loaded.
    """
    require_quantizer()
    entry = find(name)
    if entry.quantization is not None:
        raise ExportError(name, "is quantized already")
    captured = capture(name)
    card, state = _described(entry, captured)
    inputs = list(_inputs(captured, images))
    if not inputs:
        raise ExportError(name, "cannot be calibrated without images")
    xml, weights = _representation(captured, inputs)
    return QuantizedModel(replace(card, name=new_name, quantization="int8"), with_quantized(state, xml, weights))


def _described(entry: CatalogEntry, captured: CapturedNetwork) -> tuple[CatalogEntry, dict[str, Tensor]]:
    """The model as a card describes it, and its state dict."""
    if entry.weights.kind == "card":
        return entry, read_state_dict(entry, fetch(entry))[0]
    family = next((prefix for prefix in (PREFIX, TIMM) if entry.name.startswith(prefix)), None)
    architecture = f"{family}{entry.architecture}" if family else entry.name
    if entry.task != "classification" or not is_classifier(architecture):
        raise ExportError(entry.name, "cannot be quantized: of the models without a card, only classifiers can be")
    class_names = tuple(captured.adapter.class_names)
    return replace(entry, architecture=architecture, class_names=class_names), captured.network.state_dict()


def _inputs(captured: CapturedNetwork, images: Iterable[bytes]) -> Iterator[NDArray[np.uint8]]:
    """Inputs of the network, (1, H, W, 3) uint8; of a large one that is cut into tiles, the first tile."""
    height, width = captured.preprocessing.largest_size
    for image in images:
        try:
            pixels = captured.adapter.preprocess(captured.adapter.decode(image)).pixels
        except ImageError:
            continue
        sides = (width, height) if pixels.shape[0] > pixels.shape[1] else (height, width)
        yield pixels[None, : sides[0], : sides[1]]


def _representation(captured: CapturedNetwork, inputs: list[NDArray[np.uint8]]) -> tuple[bytes, bytes]:
    """The quantized network in OpenVINO's intermediate representation: the graph, and its constants."""
    from models.execution.openvino_conversion import convert
    from models.execution.openvino_library import apply_moc_transformations, openvino

    nncf: Any = import_module("nncf")  # after `openvino_library`, which turns off its telemetry, too
    advanced: Any = import_module("nncf.quantization.advanced_parameters")
    nncf.set_log_level(logging.ERROR)
    network = PixelNetwork(captured.network, captured.preprocessing).eval()
    try:
        converted = convert(network, *examples(captured.preprocessing))
        # Folds batch norms; else what is before them would be quantized, too, with one range for all channels.
        apply_moc_transformations(converted, cf=True, smart_reshape=False)
        model: Any = nncf.quantize(
            converted,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            advanced_parameters=advanced.AdvancedQuantizationParameters(overflow_fix=advanced.OverflowFix.ENABLE),
        )
    except Exception as error:  # of many classes, where torch, OpenVINO or NNCF cannot handle a network
        raise ExportError(captured.adapter.entry.name, f"cannot be quantized: {error}".splitlines()[0]) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.xml")
        openvino.save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()
