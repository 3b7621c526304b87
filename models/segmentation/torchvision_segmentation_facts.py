"""Reads off torchvision what the catalog says of its segmenters; run it to rewrite the manifest after an upgrade.

python -m models.segmentation.torchvision_segmentation_facts
"""

# pyright: reportMissingTypeStubs=false

from types import ModuleType
from typing import Any

import torchvision.models
from torchvision.models import WeightsEnum, detection, segmentation

from models.detection import torchvision_detection_facts
from models.detection.torchvision_detection_facts import COCO_LICENCE
from models.segmentation.torchvision_segmentation_manifest import (
    SEGMENTERS,
    InstanceFacts,
    SemanticFacts,
    TorchvisionSegmenterFacts,
)
from models.sources.torchvision_weights import members_of, published_facts


def facts_of(builder: str, weights: WeightsEnum) -> TorchvisionSegmenterFacts:
    """Reads one set of weights off its enum member and off the network, which knows its own preprocessing.

    Args:
        builder: Name of the function in `torchvision.models.detection` or `torchvision.models.segmentation`.
        weights: A member of its weights enum.

    Returns:
        The facts, JSON-able.
    """
    return _instance_facts(builder, weights) if _finds_objects(weights) else _semantic_facts(builder, weights)


def all_facts() -> list[TorchvisionSegmenterFacts]:
    """Reads every set of weights, builder by builder, of the networks that give masks."""
    masked = [row for row in _weights_in(detection) if _finds_objects(row[1])]
    return [facts_of(builder, weights) for builder, weights in (*masked, *_weights_in(segmentation))]


def _weights_in(module: ModuleType) -> list[tuple[str, WeightsEnum]]:
    builders = torchvision.models.list_models(module=module)
    return [(builder, weights) for builder in builders for weights in members_of(builder)]


def _finds_objects(weights: WeightsEnum) -> bool:
    return "mask_map" in weights.meta["_metrics"].get("COCO-val2017", {})


def _instance_facts(builder: str, weights: WeightsEnum) -> InstanceFacts:
    return {
        **torchvision_detection_facts.facts_of(builder, weights),
        "segmentation": "instance",
        "mask_ap": _share(weights.meta["_metrics"]["COCO-val2017"]["mask_map"]),
    }


def _semantic_facts(builder: str, weights: WeightsEnum) -> SemanticFacts:
    transforms: Any = weights.transforms()
    metrics = weights.meta["_metrics"]["COCO-val2017-VOC-labels"]
    return {
        **published_facts(builder, weights, COCO_LICENCE),
        "segmentation": "semantic",
        "short_side": transforms.resize_size[0],
        "mean": list(transforms.mean),
        "std": list(transforms.std),
        "miou": _share(metrics["miou"]),
        "pixel_accuracy": _share(metrics["pixel_acc"]),
    }


def _share(per_cent: float) -> float:
    return round(per_cent / 100, 5)


if __name__ == "__main__":
    SEGMENTERS.write(all_facts())
