"""Registry of the segmentation architectures that a model card can name."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from models.detection.torchvision_detector_networks import FIRST_LABEL, build_torchvision_for_card
from models.entries import CatalogEntry, LetterboxPreprocessing, Segmentation
from models.execution.executor import executor_for
from models.runtime import Runtime
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.lite_mask_rcnn import build_mask_rcnn_lite
from models.segmentation.lite_unet import build_unet_lite
from models.segmentation.mask_rcnn_regions import MaskRcnnRegions
from models.segmentation.semantic import SemanticSegmenter
from models.segmentation.torchvision_segmenter_networks import build_segmenter_for_card
from models.segmentation.unet import build_unet
from models.sources.torchvision_manifest import PREFIX, find_torchvision, torchvision_builders

_BUILDERS: Final[Mapping[str, tuple[Segmentation, Callable[..., nn.Module]]]] = {
    "unet": ("semantic", build_unet),
    "unet-efficientnet-lite0": ("semantic", build_unet_lite),
    "mask-rcnn-efficientnet-lite0": ("instance", build_mask_rcnn_lite),
}
"""`semantic` or `instance`, and the builder of a network with random weights from the number of classes and keyword
arguments."""


def known_segmenters() -> tuple[str, ...]:
    """Lists the architectures of this package, which can be trained."""
    return tuple(_BUILDERS)


def servable_segmenters() -> tuple[str, ...]:
    """Lists the architectures that a card can name: those of this package, and torchvision's."""
    return (*known_segmenters(), *(f"{PREFIX}{builder}" for builder in torchvision_builders("segmentation")))


def segmentation_of(architecture: str) -> Segmentation:
    """Returns whether an architecture is for semantic or instance segmentation.

    Args:
        architecture: One of `servable_segmenters()`.

    Returns:
        `semantic`, where the network returns (N, C, H, W) logits for (N, 3, H, W) images, the first class being the
        background whatever its name; `instance`, where it is a Mask R-CNN of torchvision.

    Raises:
        KeyError: There is no such architecture.
    """
    published = find_torchvision(architecture)
    if published is not None and published.segmentation is not None:
        return published.segmentation
    return _BUILDERS[architecture][0]


def build_segmenter(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a segmenter, with random weights.

    Args:
        architecture: One of `servable_segmenters()`.
        class_count: Number of classes: with the background for a semantic segmenter, without it for the others.
        arguments: For the builder, by name; of a Mask R-CNN of torchvision see
            `models.detection.torchvision_detector_networks.build_torchvision_for_card`.

    Returns:
        The network.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: The builder does not take such arguments.
    """
    if architecture.startswith(PREFIX):
        is_semantic = segmentation_of(architecture) == "semantic"
        build = build_segmenter_for_card if is_semantic else build_torchvision_for_card
        return build(architecture.removeprefix(PREFIX), class_count, arguments)
    options: dict[str, Any] = dict(arguments)
    return _BUILDERS[architecture][1](class_count=class_count, **options)


def segmenter(
    entry: CatalogEntry, runtime: Runtime, network: nn.Module, weights_digest: str, first_label: int | None = None
) -> SemanticSegmenter | InstanceSegmenter:
    """Wraps a segmentation network in the adapter of its kind.

    Args:
        entry: Its catalog entry.
        runtime: A resolved runtime.
        network: With its weights, in evaluation mode.
        weights_digest: sha256 in hex of the file that they came from.
        first_label: A Mask R-CNN's label of class id 0; None: as its arguments say.

    Returns:
        The adapter.
    """
    assert entry.class_names is not None and isinstance(entry.preprocessing, LetterboxPreprocessing)
    if entry.kind == "semantic":
        executor = executor_for(network, entry.preprocessing, runtime)
        return SemanticSegmenter(entry, entry.class_names, runtime, executor, weights_digest)
    if first_label is None:
        first_label = int(entry.arguments.get("first_label", FIRST_LABEL))
    regions = MaskRcnnRegions(network, entry.preprocessing, runtime, first_label)
    return InstanceSegmenter(entry, entry.class_names, runtime, regions, weights_digest)
