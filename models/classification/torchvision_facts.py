"""Reads off torchvision what the catalog says of its classifiers; run it to rewrite the manifest after an upgrade.

python -m models.classification.torchvision_facts
"""

# pyright: reportMissingTypeStubs=false

import json
from typing import Any

import torchvision.models
from torchvision.models import WeightsEnum

from models.classification.torchvision_manifest import MANIFEST, TorchvisionFacts

_LICENCE = "BSD-3-Clause for the file; trained on ImageNet-1k, whose terms of access are for research"


def members_of(builder: str) -> type[WeightsEnum]:
    """Gives the weights enum of a builder.

    Args:
        builder: Name of a function in `torchvision.models`.

    Returns:
        The enum.

    Raises:
        ValueError: There is no such builder.
    """
    enum: type[WeightsEnum] = torchvision.models.get_model_weights(builder)  # pyright: ignore[reportUnknownMemberType]
    return enum


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
    return TorchvisionFacts(
        builder=builder,
        weights=weights.name,
        recommended=weights is type(weights)["DEFAULT"],
        url=weights.url,
        resize=transforms.resize_size[0],
        crop=transforms.crop_size[0],
        interpolation=transforms.interpolation.value,
        mean=list(transforms.mean),
        std=list(transforms.std),
        class_count=len(weights.meta["categories"]),
        top1=round(metrics["acc@1"] / 100, 5),
        top5=round(metrics["acc@5"] / 100, 5),
        parameters=weights.meta["num_params"],
        licence=weights.meta.get("license", _LICENCE),
        recipe=weights.meta["recipe"],
    )


def all_facts() -> list[TorchvisionFacts]:
    """Reads every set of classification weights, builder by builder; backbones without class names are left out."""
    return [
        facts_of(builder, weights)
        for builder in torchvision.models.list_models(module=torchvision.models)
        for weights in members_of(builder)
        if "categories" in weights.meta and weights.meta["categories"] is not None
    ]


def main() -> None:
    """Rewrites the manifest, one row a line."""
    rows = ",\n".join(json.dumps(row) for row in all_facts())
    MANIFEST.write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
