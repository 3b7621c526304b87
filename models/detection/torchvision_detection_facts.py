"""Reads off torchvision what the catalog says of its detectors; run it to rewrite the manifest after an upgrade.

python -m models.detection.torchvision_detection_facts
"""

# pyright: reportMissingTypeStubs=false

from typing import Any, Final

import torch
import torchvision.models
from torchvision.models import WeightsEnum, detection

from models.detection.torchvision_detection_manifest import DETECTORS, TorchvisionDetectorFacts
from models.sources.torchvision_weights import members_of, published_facts

COCO_LICENCE: Final = (
    "BSD-3-Clause for the file; trained on COCO train2017, whose photos are under their own Creative Commons licences"
)
"""Of the weights that torchvision trained on COCO."""


def facts_of(builder: str, weights: WeightsEnum) -> TorchvisionDetectorFacts:
    """Reads one set of weights off its enum member and off the network, which knows its own preprocessing.

    Args:
        builder: Name of the function in `torchvision.models.detection`.
        weights: A member of its weights enum.

    Returns:
        The facts, JSON-able.
    """
    with torch.device("meta"):
        network: Any = torchvision.models.get_model(builder, weights=None, weights_backbone=None)
    two_stage = isinstance(network, detection.FasterRCNN)
    suppressor: Any = network.roi_heads if two_stage else network
    transform: Any = network.transform
    return {
        **published_facts(builder, weights, COCO_LICENCE),
        "short_side": transform.min_size[-1],
        "long_side": transform.max_size,
        "keep_aspect": transform.fixed_size is None,
        "mean": list(transform.image_mean),
        "std": list(transform.image_std),
        "two_stage": two_stage,
        "iou_threshold": suppressor.nms_thresh,
        "box_ap": round(weights.meta["_metrics"]["COCO-val2017"]["box_map"] / 100, 5),
    }


def all_facts() -> list[TorchvisionDetectorFacts]:
    """Reads every set of weights, builder by builder, of the networks that give boxes and nothing else."""
    return [
        facts_of(builder, weights)
        for builder in torchvision.models.list_models(module=detection)
        for weights in members_of(builder)
        if weights.meta["_metrics"]["COCO-val2017"].keys() == {"box_map"}
    ]


if __name__ == "__main__":
    DETECTORS.write(all_facts())
