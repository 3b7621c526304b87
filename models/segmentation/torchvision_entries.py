"""Catalog entries of torchvision's segmenters, read off the installed torchvision."""

# pyright: reportMissingTypeStubs=false

from dataclasses import replace
from typing import Any, Final

from torchvision.models import WeightsEnum, detection, segmentation

from models.detection import torchvision_entries as detector_entries
from models.entries import INSTANCE_DEFAULTS, CatalogEntry, LetterboxPreprocessing
from models.sources.torchvision_weights import (
    COCO_LICENCE,
    on_byte_scale,
    published_accuracy,
    published_entry,
    weights_in,
)

_LONGEST: Final = 3
"""Times the short side. torchvision's preset knows no limit; an image that is longer still is resized to smaller sides
than the preset would give it, so that no image takes more memory than that."""


def entry_of(builder: str, weights: WeightsEnum) -> CatalogEntry:
    """Makes an entry of one set of weights and, for a Mask R-CNN, of the network.

    Args:
        builder: Name of the function in `torchvision.models.detection` or `torchvision.models.segmentation`.
        weights: A member of its weights enum.

    Returns:
        The entry. The class ids of a Mask R-CNN are COCO's category ids, those of other networks count as Pascal VOC
        does.
    """
    return _instance_entry(builder, weights) if _has_instances(weights) else _semantic_entry(builder, weights)


def torchvision_entries() -> list[CatalogEntry]:
    """Entries of all weights, builder by builder, of the networks that give masks."""
    instances = [each for each in weights_in(detection) if _has_instances(each[1])]
    return [entry_of(builder, weights) for builder, weights in (*instances, *weights_in(segmentation))]


def _has_instances(weights: WeightsEnum) -> bool:
    return "mask_map" in weights.meta["_metrics"].get("COCO-val2017", {})


def _instance_entry(builder: str, weights: WeightsEnum) -> CatalogEntry:
    """A Mask R-CNN is a Faster R-CNN whose boxes have masks."""
    metrics = weights.meta["_metrics"]["COCO-val2017"]
    return replace(
        detector_entries.entry_of(builder, weights),
        task="segmentation",
        segmentation="instance",
        accuracy=(
            published_accuracy(detector_entries.COCO, "map", metrics["mask_map"]),
            published_accuracy(detector_entries.COCO, "box_map", metrics["box_map"]),
        ),
        defaults=INSTANCE_DEFAULTS,
    )


def _semantic_entry(builder: str, weights: WeightsEnum) -> CatalogEntry:
    transforms: Any = weights.transforms()
    metrics = weights.meta["_metrics"]["COCO-val2017-VOC-labels"]
    dataset = "COCO val2017, Pascal VOC's classes"
    class_names = tuple(weights.meta["categories"])
    return published_entry(
        builder,
        weights,
        COCO_LICENCE,
        task="segmentation",
        segmentation="semantic",
        preprocessing=LetterboxPreprocessing(
            short_side=transforms.resize_size[0],
            long_side=_LONGEST * transforms.resize_size[0],
            mean=on_byte_scale(transforms.mean),
            std=on_byte_scale(transforms.std),
            stride=1,
        ),
        accuracy=(
            published_accuracy(dataset, "miou", metrics["miou"]),
            published_accuracy(dataset, "pixel_accuracy", metrics["pixel_acc"]),
        ),
        defaults={},
        class_names=class_names,
        category_ids=tuple(range(len(class_names))),
    )
