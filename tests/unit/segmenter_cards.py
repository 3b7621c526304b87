"""Model cards of segmenters that nobody trained, for tests of what goes on around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.catalog.cards import write_card
from models.entries import INSTANCE_DEFAULTS, Accuracy, CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.segmentation.architectures import build_segmenter, segmentation_of

SEMANTIC_CLASSES = ("background", "cat", "dog")
INSTANCE_CLASSES = ("cat", "dog")
ARGUMENTS = {
    "unet": {"width": 8, "depth": 3},
    "unet-efficientnet-lite0": {"width": 8},
    "mask-rcnn-efficientnet-lite0": {"width": 16, "region_width": 16, "mask_width": 16, "max_regions": 50},
}


def segmenter_entry(architecture: str, name: str) -> CatalogEntry:
    """What the card says, but for its weights."""
    semantic = segmentation_of(architecture) == "semantic"
    return CatalogEntry(
        name=name,
        version="7",
        task="segmentation",
        segmentation=segmentation_of(architecture),
        architecture=architecture,
        arguments=ARGUMENTS[architecture],
        weights=WeightsSource("card", "", None, "CC0-1.0", "chance"),
        preprocessing=LetterboxPreprocessing(64, 64, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
        class_count=len(SEMANTIC_CLASSES if semantic else INSTANCE_CLASSES),
        licence="Apache-2.0",
        accuracy=(Accuracy("nothing", "miou" if semantic else "map", 0.125, "made up"),),
        description="Sees cats and dogs everywhere.",
        defaults={} if semantic else {**INSTANCE_DEFAULTS, "score_threshold": 0.3, "max_detections": 20},
        class_names=SEMANTIC_CLASSES if semantic else INSTANCE_CLASSES,
        training={"data": "nothing", "epochs": 0, "machine": "none"},
    )


def write_segmenter(folder: Path, architecture: str, name: str = "segments-anything") -> Path:
    """A small segmenter that is sure to see something: some class or other, or dogs all over the place.

    Returns:
        Path of the card.
    """
    torch.manual_seed(5)
    entry = segmenter_entry(architecture, name)
    network: Any = build_segmenter(architecture, entry.class_count, entry.arguments).eval()
    with torch.no_grad():
        if entry.segmentation == "instance":
            network.roi_heads.box_predictor.cls_score.bias[2] = 5
            network.roi_heads.mask_predictor.mask_fcn_logits.bias[2] = 5
        else:
            network.classifier.bias -= network(torch.randn(1, 3, 64, 64)).mean((0, 2, 3))
    return write_card(folder, entry, network.state_dict())
