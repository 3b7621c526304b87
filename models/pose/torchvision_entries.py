"""Catalog entries of torchvision's pose estimators, read off the installed torchvision."""

# pyright: reportMissingTypeStubs=false

from dataclasses import replace

from torchvision.models import WeightsEnum, detection

from models.detection import torchvision_entries as detector_entries
from models.entries import POSE_DEFAULTS, CatalogEntry
from models.entries.skeletons import Skeleton
from models.sources.torchvision_weights import published_accuracy, weights_in


def entry_of(builder: str, weights: WeightsEnum) -> CatalogEntry:
    """Makes an entry of one set of weights and of the network: a Faster R-CNN whose boxes have key points.

    Args:
        builder: Name of the function in `torchvision.models.detection`.
        weights: A member of its weights enum.

    Returns:
        The entry. Its class ids are COCO's category ids: 0 is no person, 1 a person.
    """
    metrics = weights.meta["_metrics"]["COCO-val2017"]
    return replace(
        detector_entries.entry_of(builder, weights),
        task="keypoints",
        accuracy=(
            published_accuracy(detector_entries.COCO, "oks_ap", metrics["kp_map"]),
            published_accuracy(detector_entries.COCO, "box_map", metrics["box_map"]),
        ),
        defaults=POSE_DEFAULTS,
        skeleton=Skeleton.of(weights.meta["keypoint_names"]),
    )


def torchvision_entries() -> list[CatalogEntry]:
    """Entries of all weights, builder by builder, of the networks that give key points."""
    return [
        entry_of(builder, weights)
        for builder, weights in weights_in(detection)
        if "kp_map" in weights.meta["_metrics"]["COCO-val2017"]
    ]
