"""Model cards of detectors that nobody trained, for tests of what goes on around them."""

from __future__ import annotations

from pathlib import Path

import torch

from models.catalog.cards import write_card
from models.detection.architectures import build_detector
from models.detection.yolox import Yolox
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, WeightsSource

CLASSES = ("cat", "dog", "stop sign")


def write_detector(folder: Path, name: str = "finds-anything", version: str | None = None) -> Path:
    """A YOLOX-nano that is sure to see something everywhere: its scores are around one half.

    Args:
        folder: Where to.
        name: Name of the model.
        version: Writes NAME@VERSION, whose classes have the version in their names; None: NAME, of version 7.

    Returns:
        Path of the card.
    """
    torch.manual_seed(5)
    network = build_detector("yolox-nano", len(CLASSES), {})
    assert isinstance(network, Yolox)
    with torch.no_grad():
        for prediction in (*network.head.obj_preds, *network.head.cls_preds):
            assert isinstance(prediction, torch.nn.Conv2d)
            assert prediction.bias is not None
            prediction.bias.fill_(1.0)
        for class_id, prediction in enumerate(network.head.cls_preds):  # each level sees a class, in any precision
            assert isinstance(prediction, torch.nn.Conv2d) and prediction.bias is not None
            prediction.bias[class_id] = 1.5
    entry = CatalogEntry(
        name=name,
        version=version or "7",
        task="detection",
        architecture="yolox-nano",
        weights=WeightsSource("card", "", None, "CC0-1.0", "chance"),
        preprocessing=LetterboxPreprocessing(64, 64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        class_count=len(CLASSES),
        licence="Apache-2.0",
        accuracy=(Accuracy("nothing", "map", 0.125, "made up"), Accuracy("nothing", "map_50", 0.25, "made up")),
        description="Sees cats, dogs and stop signs everywhere.",
        defaults={"score_threshold": 0.4, "iou_threshold": 0.3, "max_detections": 20},
        class_names=tuple(f"{one} of {version}" for one in CLASSES) if version else CLASSES,
        training={"data": "nothing", "epochs": 0, "machine": "none"},
    )
    return write_card(folder, entry, network.state_dict(), versioned=version is not None)
