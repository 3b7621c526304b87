"""Registry of the detection architectures that a model card can name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from torch import nn

from models.detection.candidates import CandidateNetwork
from models.detection.lite_backbone import build_yolox_lite
from models.detection.lite_faster_rcnn import build_faster_rcnn_lite
from models.detection.torchvision_detector_networks import FIRST_LABEL, build_torchvision_for_card
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.detection.yolov1 import YoloV1, build_yolov1
from models.detection.yolov1_candidates import YoloV1Candidates
from models.detection.yolox import Yolox
from models.detection.yolox_candidates import YoloxCandidates
from models.detection.yolox_family import SIZES, build_yolox
from models.entries import LetterboxPreprocessing
from models.runtime import Runtime
from models.sources.torchvision_manifest import PREFIX, torchvision_builders

_BUILDERS: Final[Mapping[str, Callable[..., nn.Module]]] = {
    "yolox-efficientnet-lite0": build_yolox_lite,
    "faster-rcnn-efficientnet-lite0": build_faster_rcnn_lite,
    "yolov1": build_yolov1,
    **{f"yolox-{size}": partial(build_yolox, size) for size in SIZES},
}
"""Builds a network with random weights from the number of classes and keyword arguments."""


def known_detectors() -> tuple[str, ...]:
    """Lists the architectures of this package, which can be trained."""
    return tuple(_BUILDERS)


def servable_detectors() -> tuple[str, ...]:
    """Lists the architectures that a card can name: those of this package, and torchvision's."""
    return (*known_detectors(), *(f"{PREFIX}{builder}" for builder in torchvision_builders("detection")))


def build_detector(architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]) -> nn.Module:
    """Builds a detector, with random weights.

    Args:
        architecture: One of `servable_detectors()`.
        class_count: Number of classes, without a background.
        arguments: For the builder, by name; of torchvision's see
            `models.detection.torchvision_detector_networks.build_torchvision_for_card`.

    Returns:
        The network.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: The builder does not take such arguments.
    """
    if architecture.startswith(PREFIX):
        return build_torchvision_for_card(architecture.removeprefix(PREFIX), class_count, arguments)
    options: dict[str, Any] = dict(arguments)
    return _BUILDERS[architecture](class_count=class_count, **options)


def candidate_network(
    network: nn.Module,
    preprocessing: LetterboxPreprocessing,
    runtime: Runtime,
    arguments: Mapping[str, int | float | str | bool],
) -> CandidateNetwork:
    """Wraps a detection network so that it returns candidates, and moves it to its device.

    Args:
        network: From `build_detector`, its weights loaded, in evaluation mode.
        preprocessing: Of the model.
        runtime: A resolved runtime.
        arguments: What the network was built with.

    Returns:
        The network on its device.

    Raises:
        ValueError: The network does not take images of such a size.
    """
    if isinstance(network, Yolox):
        return YoloxCandidates(network, preprocessing, runtime)
    if isinstance(network, YoloV1):
        return YoloV1Candidates(network, preprocessing, runtime)
    return TorchvisionCandidates(network, preprocessing, runtime, int(arguments.get("first_label", FIRST_LABEL)))
