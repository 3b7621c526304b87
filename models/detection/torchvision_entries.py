"""Catalog entries of torchvision's detectors, read off the installed torchvision."""

# pyright: reportMissingTypeStubs=false

from typing import Any, Final

import torch
import torchvision.models
from torchvision.models import WeightsEnum, detection

from models.entries import CatalogEntry, LetterboxPreprocessing
from models.sources.torchvision_weights import (
    COCO_LICENCE,
    on_byte_scale,
    published_accuracy,
    published_entry,
    weights_in,
)

COCO: Final = "COCO val2017"
_ONE_STAGE_SCORE: Final = 0.3
_TWO_STAGE_SCORE: Final = 0.5


def entry_of(builder: str, weights: WeightsEnum) -> CatalogEntry:
    """Makes an entry of one set of weights and of the network, which holds its own preprocessing.

    Args:
        builder: Name of the function in `torchvision.models.detection`.
        weights: A member of its weights enum.

    Returns:
        The entry. Its class ids are COCO's category ids; its IoU threshold is that of torchvision's own evaluation.
    """
    with torch.device("meta"):
        network: Any = torchvision.models.get_model(builder, weights=None, weights_backbone=None)
    two_stage = isinstance(network, detection.FasterRCNN)
    class_names = tuple(weights.meta["categories"])
    return published_entry(
        builder,
        weights,
        COCO_LICENCE,
        task="detection",
        preprocessing=LetterboxPreprocessing(
            short_side=network.transform.min_size[-1],
            long_side=network.transform.max_size,
            mean=on_byte_scale(network.transform.image_mean),
            std=on_byte_scale(network.transform.image_std),
            stride=1,  # torchvision pads after the normalisation, so the network does it
            keep_aspect=network.transform.fixed_size is None,
            antialias=False,
        ),
        accuracy=(published_accuracy(COCO, "map", weights.meta["_metrics"]["COCO-val2017"]["box_map"]),),
        defaults={
            "score_threshold": _TWO_STAGE_SCORE if two_stage else _ONE_STAGE_SCORE,
            "iou_threshold": (network.roi_heads if two_stage else network).nms_thresh,
            "max_detections": 100,
        },
        class_names=class_names,
        category_ids=tuple(range(len(class_names))),
    )


def torchvision_entries() -> list[CatalogEntry]:
    """Entries of all weights, builder by builder, of the networks that give boxes and nothing else."""
    return [
        entry_of(builder, weights)
        for builder, weights in weights_in(detection)
        if weights.meta["_metrics"]["COCO-val2017"].keys() == {"box_map"}
    ]
