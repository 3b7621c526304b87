"""Reads off torchvision what the catalog says of its classifiers; run it to rewrite the manifest after an upgrade.

python -m models.classification.torchvision_facts
"""

# pyright: reportMissingTypeStubs=false

from typing import Any, Final

import torchvision.models
from torchvision.models import WeightsEnum

from models.classification.torchvision_manifest import CLASSIFIERS, TorchvisionFacts
from models.sources.torchvision_weights import members_of, published_facts

_LICENCE: Final = "BSD-3-Clause for the file; trained on ImageNet-1k, whose terms of access are for research"


def facts_of(builder: str, weights: WeightsEnum) -> TorchvisionFacts:
    """Reads one set of weights off its enum member.

    Args:
        builder: Name of the function in `torchvision.models`.
        weights: A member of its weights enum.

    Returns:
        The facts, JSON-able.
    """
    transforms: Any = weights.transforms()
    metrics = weights.meta["_metrics"]["ImageNet-1K"]
    return {
        **published_facts(builder, weights, _LICENCE),
        "resize": transforms.resize_size[0],
        "crop": transforms.crop_size[0],
        "interpolation": transforms.interpolation.value,
        "mean": list(transforms.mean),
        "std": list(transforms.std),
        "top1": round(metrics["acc@1"] / 100, 5),
        "top5": round(metrics["acc@5"] / 100, 5),
    }


def all_facts() -> list[TorchvisionFacts]:
    """Reads every set of classification weights, builder by builder; backbones without class names are left out."""
    return [
        facts_of(builder, weights)
        for builder in torchvision.models.list_models(module=torchvision.models)
        for weights in members_of(builder)
        if "categories" in weights.meta and weights.meta["categories"] is not None
    ]


if __name__ == "__main__":
    CLASSIFIERS.write(all_facts())
