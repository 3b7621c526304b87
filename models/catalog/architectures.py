"""All architectures that a card can name, of every task."""

from collections.abc import Mapping

from torch import nn

from models.catalog.user_modules import build_user_module, is_user_module
from models.classification.architectures import build_classifier, is_classifier, known_classifiers
from models.classification.signal_network import build_signal_classifier
from models.detection.architectures import build_detector, servable_detectors
from models.entries import Kind
from models.entries.signal_preprocessing import SIGNAL_CNN
from models.kinds import usual_kinds
from models.multitask.architectures import build_multitask_network, known_multitask
from models.pose.architectures import build_pose_estimator, servable_pose_estimators
from models.segmentation.architectures import build_segmenter, segmentation_of, servable_segmenters


def listed_architectures() -> tuple[str, ...]:
    """Lists the architectures, without those of timm and of the user's own modules."""
    return (
        *known_classifiers(),
        SIGNAL_CNN,
        *servable_detectors(),
        *servable_pose_estimators(),
        *servable_segmenters(),
        *known_multitask(),
    )


def kinds_of(architecture: str) -> tuple[Kind, ...]:
    """Returns what the predictions of an architecture may be.

    Args:
        architecture: As in a card.

    Returns:
        One kind; of a module of the user's own all of them; none where there is no such architecture.
    """
    if is_user_module(architecture):
        return usual_kinds()
    if is_classifier(architecture) or architecture == SIGNAL_CNN:
        return ("classification",)
    if architecture in servable_detectors():
        return ("detection",)
    if architecture in servable_pose_estimators():
        return ("keypoints",)
    if architecture in known_multitask():
        return ("multitask",)
    return (segmentation_of(architecture),) if architecture in servable_segmenters() else ()


def build_architecture(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a network, with random weights.

    Args:
        architecture: As in a card.
        class_count: Number of classes, as a card counts them.
        arguments: Of the architecture.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: It cannot be built with such arguments.
    """
    if is_user_module(architecture):
        return build_user_module(architecture, class_count, arguments)
    if architecture == SIGNAL_CNN:
        return build_signal_classifier(architecture, class_count, arguments)
    if is_classifier(architecture):
        return build_classifier(architecture, class_count, arguments)
    if architecture in servable_detectors():
        return build_detector(architecture, class_count, arguments)
    if architecture in servable_pose_estimators():
        return build_pose_estimator(architecture, class_count, arguments)
    if architecture in servable_segmenters():
        return build_segmenter(architecture, class_count, arguments)
    if architecture in known_multitask():
        return build_multitask_network(architecture, class_count, arguments)
    raise KeyError(architecture)
