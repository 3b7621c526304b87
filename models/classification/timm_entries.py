"""timm's published classifiers, read off the installed timm."""

import math
from importlib import import_module
from typing import Any

from models.classification.timm_networks import IMAGENET, timm_library
from models.sources.timm_manifest import PREFIX, TimmWeights
from models.sources.torchvision_weights import on_byte_scale


def timm_rows() -> tuple[list[TimmWeights], dict[str, str]]:
    """Reads all classifiers with weights off the installed timm.

    Returns:
        A row for each, of every architecture the recommended weights first; and names of earlier versions of timm with
        the current ones.
    """
    timm = timm_library()
    registry: Any = import_module("timm.models")
    published: dict[str, TimmWeights] = {}
    for architecture in timm.list_models():
        tagged = (architecture, *timm.list_models(f"{architecture}.*", pretrained=True))
        for row in (_row_of(registry.get_pretrained_cfg(name)) for name in tagged):
            if row is not None and row.architecture == architecture:
                published.setdefault(row.name, row)
    names = published.keys() | {row.architecture for row in published.values()}
    aliases = {old: new for old, new in registry.get_deprecated_models().items() if new in names}
    return list(published.values()), aliases


def _row_of(config: Any) -> TimmWeights | None:
    """A row; None where there are no weights, or the network is none from square RGB images to ImageNet's classes."""
    if config is None or not (config.hf_hub_id or config.url) or config.num_classes not in IMAGENET:
        return None
    channels, height, width = config.input_size
    if channels != 3 or height != width:
        return None
    name = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
    location = config.hf_hub_id or config.url
    return TimmWeights(
        name=name,
        class_count=config.num_classes,
        resize=max(height, math.floor(height / config.crop_pct)),
        crop=height,
        interpolation=config.interpolation,
        mean=on_byte_scale(config.mean),
        std=on_byte_scale(config.std),
        licence=config.license or "not stated",
        location=None if location == f"{PREFIX}{name}" else location,
    )
