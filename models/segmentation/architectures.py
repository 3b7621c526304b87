"""Registry of the segmentation architectures that a model card can name."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from models.entries import CatalogEntry, LetterboxPreprocessing, Segmentation
from models.execution.executor import executor_for
from models.runtime import Runtime
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.lite_mask_rcnn import build_mask_rcnn_lite
from models.segmentation.lite_unet import build_unet_lite
from models.segmentation.mask_rcnn_regions import MaskRcnnRegions
from models.segmentation.semantic import SemanticSegmenter
from models.segmentation.unet import build_unet

_BUILDERS: Final[Mapping[str, tuple[Segmentation, Callable[..., nn.Module]]]] = {
    "unet": ("semantic", build_unet),
    "unet-efficientnet-lite0": ("semantic", build_unet_lite),
    "mask-rcnn-efficientnet-lite0": ("instance", build_mask_rcnn_lite),
}
"""`semantic` or `instance`, and the builder of a network with random weights from the number of classes and keyword
arguments."""


def known_segmenters() -> tuple[str, ...]:
    """Lists the architectures."""
    return tuple(_BUILDERS)


def segmentation_of(architecture: str) -> Segmentation:
    """Returns whether an architecture is for semantic or instance segmentation.

    Args:
        architecture: One of `known_segmenters()`.

    Returns:
        `semantic`, where the network returns (N, C, H, W) logits for (N, 3, H, W) images, the first class being the
        background whatever its name; `instance`, where it is a Mask R-CNN of torchvision.

    Raises:
        KeyError: There is no such architecture.
    """
    return _BUILDERS[architecture][0]


def build_segmenter(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a segmenter, with random weights.

    Args:
        architecture: One of `known_segmenters()`.
        class_count: Number of classes: with the background for a semantic segmenter, without it for the others.
        arguments: For the builder, by name.

    Returns:
        The network.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: The builder does not take such arguments.
    """
    options: dict[str, Any] = dict(arguments)
    return _BUILDERS[architecture][1](class_count=class_count, **options)


def segmenter(
    entry: CatalogEntry, runtime: Runtime, network: nn.Module, weights_digest: str, first_label: int = 1
) -> SemanticSegmenter | InstanceSegmenter:
    """Wraps a segmentation network in the adapter of its kind.

    Args:
        entry: Its catalog entry.
        runtime: A resolved runtime.
        network: With its weights, in evaluation mode.
        weights_digest: sha256 in hex of the file that they came from.
        first_label: A Mask R-CNN's label of class id 0.

    Returns:
        The adapter.
    """
    assert entry.class_names is not None and isinstance(entry.preprocessing, LetterboxPreprocessing)
    if entry.kind == "semantic":
        executor = executor_for(network, entry.preprocessing, runtime)
        return SemanticSegmenter(entry, entry.class_names, runtime, executor, weights_digest)
    regions = MaskRcnnRegions(network, entry.preprocessing, runtime, first_label)
    return InstanceSegmenter(entry, entry.class_names, runtime, regions, weights_digest)
