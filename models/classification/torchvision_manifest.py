"""Catalog entries of torchvision's classifiers, without importing torchvision.

The facts lie in ``models/weights/torchvision.json``; ``python -m models.classification.torchvision_facts`` writes them.
"""

from typing import Final

from models.entries import Accuracy, CatalogEntry, Interpolation, Preprocessing
from models.sources.torchvision_manifest import (
    FOLDER,
    NOT_MEASURED,
    PublishedFacts,
    TorchvisionManifest,
    on_byte_scale,
    weights_source,
)


class TorchvisionFacts(PublishedFacts):
    """One set of weights of one torchvision classifier.

    Attributes:
        resize: Short side after the resize, in pixels.
        crop: Side of the centre crop, in pixels.
        interpolation: Kernel of the resize.
        mean: Of R, G and B, on the scale 0 to 1.
        std: Of R, G and B, on the scale 0 to 1.
        top1: ImageNet-1k validation accuracy as torchvision publishes it, 0 to 1.
        top5: Likewise.
    """

    resize: int
    crop: int
    interpolation: Interpolation
    mean: list[float]
    std: list[float]
    top1: float
    top5: float


CLASSIFIERS: Final = TorchvisionManifest[TorchvisionFacts](FOLDER / "torchvision.json")


def find_torchvision(name: str) -> CatalogEntry | None:
    """Looks a torchvision classifier up.

    Args:
        name: ``torchvision/<builder>`` or ``torchvision/<builder>@<weights>``.

    Returns:
        Its entry, or None where there is no such builder or no such weights.
    """
    facts = CLASSIFIERS.find(name)
    return None if facts is None else entry_from(name, facts)


def builder_names() -> tuple[str, ...]:
    """Lists torchvision's classifier builders in alphabetical order."""
    return CLASSIFIERS.builder_names()


def entry_from(name: str, facts: TorchvisionFacts) -> CatalogEntry:
    """Makes a catalog entry.

    Args:
        name: The name that the entry goes by.
        facts: What torchvision says of the weights.

    Returns:
        The entry.
    """
    return CatalogEntry(
        name=name,
        version=facts["weights"],
        task="classification",
        architecture=facts["builder"],
        weights=weights_source(facts),
        preprocessing=Preprocessing(
            resize=facts["resize"],
            crop=facts["crop"],
            interpolation=facts["interpolation"],
            mean=on_byte_scale(facts["mean"]),
            std=on_byte_scale(facts["std"]),
        ),
        class_count=facts["class_count"],
        licence="BSD-3-Clause",
        accuracy=(
            Accuracy("ImageNet-1k validation", "top1", facts["top1"], NOT_MEASURED),
            Accuracy("ImageNet-1k validation", "top5", facts["top5"], NOT_MEASURED),
        ),
        description=f"torchvision's {facts['builder']} with {facts['parameters'] / 1e6:.1f} million parameters.",
    )
