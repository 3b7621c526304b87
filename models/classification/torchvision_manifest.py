"""Catalog entries of torchvision's classifiers, without importing torchvision.

The facts lie in ``models/weights/torchvision.json``, one row for every set of weights. They are read off torchvision's
own weights enums by ``python -m models.classification.torchvision_facts``, and a test keeps them equal. So a process
that must stay free of torch, such as the gateway, still knows every model.
"""

import json
from functools import cache
from pathlib import Path
from typing import Final, TypedDict

from models.entries import Accuracy, CatalogEntry, Interpolation, Preprocessing, WeightsSource

MANIFEST: Final = Path(__file__).parents[1] / "weights" / "torchvision.json"


class TorchvisionFacts(TypedDict):
    """One set of weights of one torchvision classifier.

    Attributes:
        builder: Name of the function in `torchvision.models`.
        weights: Name of the member of its weights enum.
        recommended: Whether it is the enum's `DEFAULT`.
        url: Where the file is downloaded from.
        resize: Short side after the resize, in pixels.
        crop: Side of the centre crop, in pixels.
        interpolation: Kernel of the resize.
        mean: Of R, G and B, on the scale 0 to 1.
        std: Of R, G and B, on the scale 0 to 1.
        class_count: Number of classes.
        top1: ImageNet-1k validation accuracy as torchvision publishes it, 0 to 1.
        top5: Likewise.
        parameters: Number of parameters.
        licence: Of the weights.
        recipe: Where their making is told.
    """

    builder: str
    weights: str
    recommended: bool
    url: str
    resize: int
    crop: int
    interpolation: Interpolation
    mean: list[float]
    std: list[float]
    class_count: int
    top1: float
    top5: float
    parameters: int
    licence: str
    recipe: str


def find_torchvision(name: str) -> CatalogEntry | None:
    """Looks a torchvision classifier up.

    Args:
        name: ``torchvision/<builder>`` or ``torchvision/<builder>@<weights>``.

    Returns:
        Its entry, or None where there is no such builder or no such weights.
    """
    facts = torchvision_facts(name)
    return None if facts is None else entry_from(name, facts)


def torchvision_facts(name: str) -> TorchvisionFacts | None:
    """As `find_torchvision`, but gives the facts behind the entry."""
    family, _, rest = name.partition("/")
    builder, _, weights = rest.partition("@")
    if family != "torchvision" or rest.endswith("@"):
        return None
    rows = _manifest().get(builder, ())
    return next((row for row in rows if row["weights"] == weights or (not weights and row["recommended"])), None)


def builder_names() -> tuple[str, ...]:
    """Lists torchvision's classifier builders in alphabetical order."""
    return tuple(_manifest())


def entry_from(name: str, facts: TorchvisionFacts) -> CatalogEntry:
    """Makes a catalog entry.

    Args:
        name: The name that the entry goes by.
        facts: What torchvision says of the weights.

    Returns:
        The entry.
    """
    note = "as published by torchvision; not measured here"
    return CatalogEntry(
        name=name,
        version=facts["weights"],
        task="classification",
        architecture=facts["builder"],
        weights=WeightsSource(
            kind="torch_hub", location=facts["url"], sha256=None, licence=facts["licence"], source=facts["recipe"]
        ),
        preprocessing=Preprocessing(
            resize=facts["resize"],
            crop=facts["crop"],
            interpolation=facts["interpolation"],
            mean=_on_byte_scale(facts["mean"]),
            std=_on_byte_scale(facts["std"]),
        ),
        class_count=facts["class_count"],
        licence="BSD-3-Clause",
        accuracy=(
            Accuracy("ImageNet-1k validation", "top1", facts["top1"], note),
            Accuracy("ImageNet-1k validation", "top5", facts["top5"], note),
        ),
        description=f"torchvision's {facts['builder']} with {facts['parameters'] / 1e6:.1f} million parameters.",
    )


def _on_byte_scale(channels: list[float]) -> tuple[float, float, float]:
    red, green, blue = (round(255 * channel, 6) for channel in channels)
    return red, green, blue


@cache
def _manifest() -> dict[str, tuple[TorchvisionFacts, ...]]:
    rows: list[TorchvisionFacts] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    builders = sorted({row["builder"] for row in rows})
    return {builder: tuple(row for row in rows if row["builder"] == builder) for builder in builders}
