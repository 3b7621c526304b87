"""Chooses the views of a model by its kind and its training, and makes its augmented adapter."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from models.adapter import Adapter
from models.augmentation.augmented import Augmented, View
from models.augmentation.classification import AugmentedClassifier
from models.augmentation.detection import AugmentedDetector
from models.augmentation.instance import AugmentedInstanceSegmenter
from models.augmentation.pose import AugmentedPoseEstimator
from models.augmentation.semantic import AugmentedSemanticSegmenter
from models.classification.classifier import Classifier
from models.detection.detector import Detector
from models.entries import CatalogEntry
from models.letterbox_adapter import LetterboxedAdapter
from models.pose.estimator import PoseEstimator
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.semantic import SemanticSegmenter

_SIZES: Final = (1.0, 0.75, 1.25)
OBJECT_VIEWS: Final = tuple(View(size, mirrored) for size in _SIZES for mirrored in (False, True))
"""Views of detectors, pose estimators and instance segmenters, chosen by measurement (docs/augmentation.md)."""
REGION_VIEWS: Final = (View(), View(0.75, mirrored=True), View(1.25, mirrored=True))
"""Views of semantic segmenters: each size is seen once, which has nearly all of the gain of all six."""
MAX_BATCH_SIZE: Final = 16
"""Views in one run of a network where no server says how many."""


def augmented(adapter: Adapter[Any, Any], max_batch_size: int = MAX_BATCH_SIZE) -> Augmented[Any, Any] | None:
    """Makes the adapter that predicts several views of an image; it shares the network.

    Args:
        adapter: A loaded model.
        max_batch_size: The most views in one run of the network.

    Returns:
        The adapter; None where the model is of a class without augmentation, such as one without a network.
    """
    if isinstance(adapter, Classifier):
        return AugmentedClassifier(adapter, mirrors(adapter.entry), max_batch_size)
    if not isinstance(adapter, LetterboxedAdapter):
        return None
    letterboxed = cast(LetterboxedAdapter[Any, Any, Any], adapter)
    return with_views(letterboxed, views_of(letterboxed), max_batch_size)


def with_views(
    adapter: LetterboxedAdapter[Any, Any, Any], views: Sequence[View], max_batch_size: int = MAX_BATCH_SIZE
) -> Augmented[Any, Any] | None:
    """Makes the adapter of a detector or a segmenter for any views.

    Args:
        adapter: A loaded model.
        views: The usual input first.
        max_batch_size: The most views in one run of the network.

    Returns:
        The adapter; None where the model is of another class.
    """
    if isinstance(adapter, Detector):
        return AugmentedDetector(adapter, views, max_batch_size)
    if isinstance(adapter, PoseEstimator):
        return AugmentedPoseEstimator(adapter, views, max_batch_size)
    if isinstance(adapter, InstanceSegmenter):
        return AugmentedInstanceSegmenter(adapter, views, max_batch_size)
    if isinstance(adapter, SemanticSegmenter):
        return AugmentedSemanticSegmenter(adapter, views, max_batch_size)
    return None


def mirrors(entry: CatalogEntry) -> bool:
    """Whether mirror images show the same to a model.

    They do unless the training record of its card says that it never saw any (`"augmentation": {"flip": 0.0}`), as
    with letters and digits: a mirrored 2 is not a digit; and unless it has key points of which none is paired with
    another.
    """
    if entry.skeleton is not None and not entry.skeleton.has_sides:
        return False
    recorded = entry.training.get("augmentation")
    return not isinstance(recorded, Mapping) or cast(Mapping[str, Any], recorded).get("flip") != 0


def views_of(adapter: LetterboxedAdapter[Any, Any, Any]) -> tuple[View, ...]:
    """Views of a detector or a segmenter.

    Args:
        adapter: A loaded model.

    Returns:
        Those of its kind; of a network that takes one size only, the plain and the mirror image; without mirror images
        the same sizes plain.
    """
    takes_one_size = adapter.entry.preprocessing.fixed_size is not None or adapter.runtime.compile
    of_kind = REGION_VIEWS if adapter.entry.kind == "semantic" else OBJECT_VIEWS
    views = (View(), View(mirrored=True)) if takes_one_size else of_kind
    return views if mirrors(adapter.entry) else tuple(dict.fromkeys(View(view.scale) for view in views))
