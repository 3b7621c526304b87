"""Catalog entries of torchvision's classifiers, read off the installed torchvision."""

# pyright: reportMissingTypeStubs=false

from typing import Any, Final

import torchvision.models
from torchvision.models import WeightsEnum

from models.entries import CatalogEntry, Preprocessing
from models.sources.torchvision_weights import on_byte_scale, published_accuracy, published_entry, weights_in

_LICENCE: Final = "BSD-3-Clause for the file; trained on ImageNet-1k, whose terms of access are for research"
_DATASET: Final = "ImageNet-1k validation"


def entry_of(builder: str, weights: WeightsEnum) -> CatalogEntry:
    """Makes an entry of one set of weights.

    Args:
        builder: Name of the function in `torchvision.models`.
        weights: A member of its weights enum.
    """
    transforms: Any = weights.transforms()
    metrics = weights.meta["_metrics"]["ImageNet-1K"]
    return published_entry(
        builder,
        weights,
        _LICENCE,
        task="classification",
        preprocessing=Preprocessing(
            resize=transforms.resize_size[0],
            crop=transforms.crop_size[0],
            interpolation=transforms.interpolation.value,
            mean=on_byte_scale(transforms.mean),
            std=on_byte_scale(transforms.std),
        ),
        accuracy=(
            published_accuracy(_DATASET, "top1", metrics["acc@1"]),
            published_accuracy(_DATASET, "top5", metrics["acc@5"]),
        ),
    )


def torchvision_entries() -> list[CatalogEntry]:
    """Entries of all weights, builder by builder; backbones without class names are left out."""
    return [
        entry_of(builder, weights)
        for builder, weights in weights_in(torchvision.models)
        if weights.meta.get("categories") is not None
    ]
