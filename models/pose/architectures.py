"""Registry of the pose architectures that a model card can name."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from torch import nn
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN

from models.pose.lite_keypoint_rcnn import build_keypoint_rcnn_lite

_BUILDERS: Final[Mapping[str, Callable[..., nn.Module]]] = {
    "keypoint-rcnn-efficientnet-lite0": build_keypoint_rcnn_lite
}
"""The builder of a network with random weights, from the number of classes and keyword arguments."""


def known_pose_estimators() -> tuple[str, ...]:
    """Lists the architectures of this package, which can be trained."""
    return tuple(_BUILDERS)


def build_pose_estimator(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> KeypointRCNN:
    """Builds a pose estimator, with random weights.

    Args:
        architecture: One of `known_pose_estimators()`.
        class_count: Number of classes, without the background.
        arguments: For the builder, by name.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: The builder does not take such arguments.
    """
    options: dict[str, Any] = dict(arguments)
    return cast(KeypointRCNN, _BUILDERS[architecture](class_count=class_count, **options))
