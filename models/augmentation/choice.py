"""Chooses the views of a model by its kind and its training, and makes its augmented adapter."""

from collections.abc import Mapping
from typing import Any, Final, cast

from models.adapter import Adapter
from models.augmentation.augmented import Augmented, View
from models.augmentation.classification import AugmentedClassifier
from models.augmentation.detection import AugmentedDetector
from models.augmentation.instance import AugmentedInstanceSegmenter
from models.augmentation.semantic import AugmentedSemanticSegmenter
from models.classification.classifier import Classifier
from models.detection.detector import Detector
from models.detection.proposed_detector import ProposedDetector
from models.entries import CatalogEntry
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.semantic import SemanticSegmenter

VIEWS: Final = (View(), View(0.75, mirrored=True), View(1.25, mirrored=True))
"""Views of detectors and segmenters, chosen by measurement (docs/augmentation.md): each size is seen once, so that
three views have most of the gain of all six, at half the cost."""
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
    mirror = mirrors(adapter.entry)
    if isinstance(adapter, Classifier):
        return AugmentedClassifier(adapter, mirror, max_batch_size)
    views = views_of(adapter, mirror)
    if isinstance(adapter, Detector):
        return AugmentedDetector(adapter, views, max_batch_size)
    if isinstance(adapter, InstanceSegmenter):
        return AugmentedInstanceSegmenter(adapter, views, max_batch_size)
    if isinstance(adapter, SemanticSegmenter):
        return AugmentedSemanticSegmenter(adapter, views, max_batch_size)
    return None


def adapter_for(
    adapter: Adapter[Any, Any], augmented: Augmented[Any, Any] | None, parameters: Any
) -> Adapter[Any, Any]:
    """Returns the adapter that answers a request.

    Args:
        adapter: The model.
        augmented: The same with augmentation; None where there is none for it.
        parameters: Of the request; kinds without augmentation have no `augment` in theirs.

    Raises:
        InvalidProposals: The request has proposals, and the model takes none.
    """
    if getattr(parameters, "proposals", None) is not None:
        return ProposedDetector(adapter, parameters)
    return augmented if augmented is not None and getattr(parameters, "augment", False) else adapter


def mirrors(entry: CatalogEntry) -> bool:
    """Whether mirror images show the same to a model.

    They do unless the training record of its card says that it never saw any (`"augmentation": {"flip": 0.0}`), as
    with letters and digits: a mirrored 2 is none.
    """
    recorded = entry.training.get("augmentation")
    return not isinstance(recorded, Mapping) or cast(Mapping[str, Any], recorded).get("flip") != 0


def views_of(adapter: Adapter[Any, Any], mirror: bool) -> tuple[View, ...]:
    """Views of a detector or a segmenter.

    Args:
        adapter: A loaded model.
        mirror: Whether mirror images show the same to it.

    Returns:
        `VIEWS`; of a network that takes one size only, the plain and the mirror image; without mirror images the same
        sizes plain.
    """
    takes_one_size = adapter.entry.preprocessing.fixed_size is not None or adapter.runtime.compile
    views = (View(), View(mirrored=True)) if takes_one_size else VIEWS
    return views if mirror else tuple(dict.fromkeys(View(view.scale) for view in views))
