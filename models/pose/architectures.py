"""Registry of the pose architectures that a model card can name."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from torch import nn
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN

from models.detection.torchvision_detector_networks import FIRST_LABEL, build_torchvision_for_card
from models.entries import CatalogEntry, LetterboxPreprocessing
from models.pose.estimator import PoseEstimator
from models.pose.keypoint_regions import KeypointRcnnRegions
from models.pose.lite_keypoint_rcnn import build_keypoint_rcnn_lite
from models.runtime import Runtime
from models.sources.torchvision_manifest import PREFIX, torchvision_builders

_BUILDERS: Final[Mapping[str, Callable[..., nn.Module]]] = {
    "keypoint-rcnn-efficientnet-lite0": build_keypoint_rcnn_lite
}
"""The builder of a network with random weights, from the number of classes and keyword arguments."""


def known_pose_estimators() -> tuple[str, ...]:
    """Lists the architectures of this package, which can be trained."""
    return tuple(_BUILDERS)


def servable_pose_estimators() -> tuple[str, ...]:
    """Lists the architectures that a card can name: those of this package, and torchvision's."""
    return (*known_pose_estimators(), *(f"{PREFIX}{builder}" for builder in torchvision_builders("keypoints")))


def build_pose_estimator(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> KeypointRCNN:
    """Builds a pose estimator, with random weights.

    Args:
        architecture: One of `servable_pose_estimators()`.
        class_count: Number of classes, without the background.
        arguments: For the builder, by name; of torchvision's see
            `models.detection.torchvision_detector_networks.build_torchvision_for_card`.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: The builder does not take such arguments.
    """
    if architecture.startswith(PREFIX):
        network = build_torchvision_for_card(architecture.removeprefix(PREFIX), class_count, arguments)
        return cast(KeypointRCNN, network)
    options: dict[str, Any] = dict(arguments)
    return cast(KeypointRCNN, _BUILDERS[architecture](class_count=class_count, **options))


def pose_estimator(
    entry: CatalogEntry, runtime: Runtime, network: nn.Module, weights_digest: str, first_label: int | None = None
) -> PoseEstimator:
    """Wraps a pose network in its adapter.

    Args:
        entry: Its catalog entry.
        runtime: A resolved runtime.
        network: With its weights, in evaluation mode.
        weights_digest: sha256 in hex of the file that they came from.
        first_label: The network's label of class id 0; None: as its arguments say.

    Raises:
        ValueError: The entry has no skeleton, or one of another number of key points than the network.
    """
    assert entry.class_names is not None and isinstance(entry.preprocessing, LetterboxPreprocessing)
    if first_label is None:
        first_label = int(entry.arguments.get("first_label", FIRST_LABEL))
    if entry.skeleton is None:
        raise ValueError("skeleton must name the key points")
    regions = KeypointRcnnRegions(network, entry.preprocessing, runtime, first_label)
    if regions.key_points != len(entry.skeleton):
        raise ValueError(f"skeleton must have the network's {regions.key_points} key points, not {len(entry.skeleton)}")
    return PoseEstimator(entry, entry.class_names, runtime, regions, weights_digest)
