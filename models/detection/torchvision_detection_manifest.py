"""Catalog entries of torchvision's detectors, without importing torchvision.

The facts lie in ``models/weights/torchvision_detection.json``, which
``python -m models.detection.torchvision_detection_facts`` writes.
"""

from typing import Final

from models.detection.coco_classes import COCO_CATEGORIES
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing
from models.sources.torchvision_manifest import (
    FOLDER,
    NOT_MEASURED,
    PublishedFacts,
    TorchvisionManifest,
    on_byte_scale,
    weights_source,
)

_ONE_STAGE_SCORE: Final = 0.3
_TWO_STAGE_SCORE: Final = 0.5


class TorchvisionDetectorFacts(PublishedFacts):
    """One set of weights of one torchvision detector.

    Attributes:
        short_side: The most pixels of the short side after the resize.
        long_side: The most pixels of the long side after the resize.
        keep_aspect: Whether the proportions stay; else the image is stretched to a square of `long_side`.
        mean: Of R, G and B, on the scale 0 to 1.
        std: Of R, G and B, on the scale 0 to 1.
        two_stage: Whether a second stage looks at regions that a first one proposes.
        iou_threshold: Of the non-maximum suppression in torchvision's own evaluation.
        box_ap: Mean average precision of boxes on COCO val2017 as torchvision publishes it, 0 to 1.
    """

    short_side: int
    long_side: int
    keep_aspect: bool
    mean: list[float]
    std: list[float]
    two_stage: bool
    iou_threshold: float
    box_ap: float


DETECTORS: Final = TorchvisionManifest[TorchvisionDetectorFacts](FOLDER / "torchvision_detection.json")


def find_torchvision_detector(name: str) -> CatalogEntry | None:
    """Looks a torchvision detector up.

    Args:
        name: ``torchvision/<builder>`` or ``torchvision/<builder>@<weights>``.

    Returns:
        Its entry, or None where there is no such builder or no such weights.
    """
    facts = DETECTORS.find(name)
    return None if facts is None else entry_from(name, facts)


def entry_from(name: str, facts: TorchvisionDetectorFacts) -> CatalogEntry:
    """Makes a catalog entry.

    Args:
        name: The name that the entry goes by.
        facts: What torchvision says of the weights.

    Returns:
        The entry. Its class ids are COCO's category ids.
    """
    return CatalogEntry(
        name=name,
        version=facts["weights"],
        task="detection",
        architecture=facts["builder"],
        weights=weights_source(facts),
        preprocessing=LetterboxPreprocessing(
            short_side=facts["short_side"],
            long_side=facts["long_side"],
            mean=on_byte_scale(facts["mean"]),
            std=on_byte_scale(facts["std"]),
            stride=1,  # torchvision pads after the normalisation, so the network does it
            keep_aspect=facts["keep_aspect"],
            antialias=False,
        ),
        class_count=facts["class_count"],
        licence="BSD-3-Clause",
        accuracy=(Accuracy("COCO val2017", "map", facts["box_ap"], NOT_MEASURED),),
        description=f"torchvision's {facts['builder']} with {facts['parameters'] / 1e6:.1f} million parameters.",
        defaults={
            "score_threshold": _TWO_STAGE_SCORE if facts["two_stage"] else _ONE_STAGE_SCORE,
            "iou_threshold": facts["iou_threshold"],
            "max_detections": 100,
        },
        class_names=COCO_CATEGORIES,
        category_ids=tuple(range(len(COCO_CATEGORIES))),
    )
