"""Model cards of classifiers that nobody trained, for tests of what goes on around them."""

from __future__ import annotations

from pathlib import Path

import torch

from models.catalog.cards import write_card
from models.classification.architectures import build_classifier
from models.entries import CatalogEntry, Preprocessing, WeightsSource

MUGS = CatalogEntry(
    name="mugs",
    version="1",
    task="classification",
    architecture="torchvision/squeezenet1_1",
    weights=WeightsSource("card", "", None, "MIT", "a test"),
    preprocessing=Preprocessing(64, 64, "bilinear", (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
    class_count=2,
    licence="MIT",
    accuracy=(),
    description="Tells mugs apart.",
    class_names=("blue", "red"),
)
"""For tests of cards that nobody loads."""

CLASSES = ("cat", "dog", "stop sign")


def write_classifier(folder: Path, name: str = "names-anything", architecture: str = "torchvision/resnet18") -> Path:
    """A classifier of 64 × 64 pixels with random weights.

    Returns:
        Path of the card.
    """
    torch.manual_seed(5)
    entry = CatalogEntry(
        name=name,
        version="1.0",
        task="classification",
        architecture=architecture,
        weights=WeightsSource("card", "", None, "CC0-1.0", "chance"),
        preprocessing=Preprocessing(72, 64, "bilinear", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
        class_count=len(CLASSES),
        licence="BSD-3-Clause",
        accuracy=(),
        description="Sees cats, dogs or stop signs.",
        class_names=CLASSES,
    )
    return write_card(folder, entry, build_classifier(architecture, len(CLASSES), {}).state_dict())
