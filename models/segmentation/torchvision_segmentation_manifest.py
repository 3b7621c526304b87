"""Catalog entries of torchvision's segmenters, without importing torchvision.

The facts lie in ``models/weights/torchvision_segmentation.json``, which
``python -m models.segmentation.torchvision_segmentation_facts`` writes.
"""

from dataclasses import replace
from typing import Final, Literal

from models.detection import torchvision_detection_manifest
from models.detection.torchvision_detection_manifest import TorchvisionDetectorFacts
from models.entries import INSTANCE_DEFAULTS, Accuracy, CatalogEntry, LetterboxPreprocessing
from models.segmentation.voc_classes import VOC_CATEGORIES
from models.sources.torchvision_manifest import (
    FOLDER,
    NOT_MEASURED,
    PublishedFacts,
    TorchvisionManifest,
    on_byte_scale,
    weights_source,
)

_LONGEST: Final = 3
"""Times the short side. torchvision's preset knows no limit; an image that is longer still is resized to smaller sides
than the preset would give it, so that no image takes more memory than that."""


class InstanceFacts(TorchvisionDetectorFacts):
    """One set of weights of one Mask R-CNN of torchvision.

    Attributes:
        segmentation: Tells it from `SemanticFacts`.
        mask_ap: Mean average precision of masks on COCO val2017 as torchvision publishes it, 0 to 1.
    """

    segmentation: Literal["instance"]
    mask_ap: float


class SemanticFacts(PublishedFacts):
    """One set of weights of one semantic segmenter of torchvision.

    Attributes:
        segmentation: Tells it from `InstanceFacts`.
        short_side: After the resize, in pixels.
        mean: Of R, G and B, on the scale 0 to 1.
        std: Of R, G and B, on the scale 0 to 1.
        miou: Mean intersection over union of the 21 classes, as torchvision publishes it for the images of COCO val2017
            that show a class of Pascal VOC, 0 to 1.
        pixel_accuracy: The share of pixels whose class is right, likewise.
    """

    segmentation: Literal["semantic"]
    short_side: int
    mean: list[float]
    std: list[float]
    miou: float
    pixel_accuracy: float


TorchvisionSegmenterFacts = InstanceFacts | SemanticFacts

SEGMENTERS: Final = TorchvisionManifest[TorchvisionSegmenterFacts](FOLDER / "torchvision_segmentation.json")


def find_torchvision_segmenter(name: str) -> CatalogEntry | None:
    """Looks a torchvision segmenter up.

    Args:
        name: ``torchvision/<builder>`` or ``torchvision/<builder>@<weights>``.

    Returns:
        Its entry, or None where there is no such builder or no such weights.
    """
    facts = SEGMENTERS.find(name)
    return None if facts is None else entry_from(name, facts)


def entry_from(name: str, facts: TorchvisionSegmenterFacts) -> CatalogEntry:
    """Makes a catalog entry.

    Args:
        name: The name that the entry goes by.
        facts: What torchvision says of the weights.

    Returns:
        The entry. The class ids of a Mask R-CNN are COCO's category ids, those of other networks count as Pascal VOC
        does.
    """
    return _instance_entry(name, facts) if facts["segmentation"] == "instance" else _semantic_entry(name, facts)


def _instance_entry(name: str, facts: InstanceFacts) -> CatalogEntry:
    """A Mask R-CNN is a Faster R-CNN whose boxes have masks."""
    return replace(
        torchvision_detection_manifest.entry_from(name, facts),
        task="segmentation",
        segmentation="instance",
        accuracy=(
            Accuracy("COCO val2017", "map", facts["mask_ap"], NOT_MEASURED),
            Accuracy("COCO val2017", "box_map", facts["box_ap"], NOT_MEASURED),
        ),
        defaults=INSTANCE_DEFAULTS,
    )


def _semantic_entry(name: str, facts: SemanticFacts) -> CatalogEntry:
    dataset = "COCO val2017, Pascal VOC's classes"
    return CatalogEntry(
        name=name,
        version=facts["weights"],
        task="segmentation",
        segmentation="semantic",
        architecture=facts["builder"],
        weights=weights_source(facts),
        preprocessing=LetterboxPreprocessing(
            short_side=facts["short_side"],
            long_side=_LONGEST * facts["short_side"],
            mean=on_byte_scale(facts["mean"]),
            std=on_byte_scale(facts["std"]),
            stride=1,
        ),
        class_count=facts["class_count"],
        licence="BSD-3-Clause",
        accuracy=(
            Accuracy(dataset, "miou", facts["miou"], NOT_MEASURED),
            Accuracy(dataset, "pixel_accuracy", facts["pixel_accuracy"], NOT_MEASURED),
        ),
        description=f"torchvision's {facts['builder']} with {facts['parameters'] / 1e6:.1f} million parameters.",
        defaults={},
        class_names=VOC_CATEGORIES,
        category_ids=tuple(range(len(VOC_CATEGORIES))),
    )
