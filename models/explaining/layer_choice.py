"""Chooses the layer whose maps explain a prediction, where the request names none."""

from collections.abc import Sequence
from typing import Any, Final, cast

import torch
from torch import Tensor

from models.detection.yolox import PathAggregation, Yolox
from models.explaining.map_layers import MapLayer, kept_maps
from models.explaining.plain_model import PlainNetwork
from models.explaining.subjects import Subject

_STEMS: Final = "head.stems"
"""The layers of YOLOX's head that read the levels of its pyramid."""
_BACKBONE: Final = "backbone.backbone."
"""The layers before its pyramid."""
_PROJECTIONS: Final = "backbone.backbone.projections"
"""Of EfficientNet-Lite0, those that only change the number of channels (`models.detection.lite_backbone`)."""


def deepest(layers: Sequence[MapLayer], class_count: int) -> MapLayer | None:
    """Chooses the last layer of the smallest maps, but for one that returns the scores of classes.

    Args:
        layers: Of the network, in its order.
        class_count: Number of classes.

    Returns:
        None where the network has no maps.
    """
    candidates = [layer for layer in layers if layer.channels not in (class_count, 1)] or list(layers)
    least = min((_cells(layer) for layer in candidates), default=0)
    return next((layer for layer in reversed(candidates) if _cells(layer) == least), None)


def layer_of_box(
    network: PlainNetwork, images: Tensor, subject: Subject, layers: Sequence[MapLayer]
) -> MapLayer | None:
    """Chooses the layer of the pyramid's level that a box comes from, by gradient times activation.

    Of two stages it is the level itself, of which the box is pooled. A cell of YOLOX's head sees so little of its level
    that its gradients are a spot; so there it is the last layer of the backbone with maps of that size.

    Args:
        network: The network.
        images: (1, 3, H, W), normalised.
        subject: The box.
        layers: Of the network, in its order.

    Returns:
        None where the network has no pyramid.
    """
    is_yolox = isinstance(network.modules, Yolox)
    levels = [layer for layer in layers if (layer.name.rpartition(".")[0] == _STEMS if is_yolox else layer.is_returned)]
    if not levels:
        return None
    with kept_maps(network.modules, [layer.name for layer in levels]) as maps:
        value = subject.value(network.outputs(images))
    found = [maps[layer.name] for layer in levels]
    gradients = cast(Sequence[Any], torch.autograd.grad(value.sum(), found, allow_unused=True))
    shares = [
        0.0 if gradient is None else float((gradient * each).detach().abs().sum())
        for gradient, each in zip(gradients, found, strict=True)
    ]
    level = levels[shares.index(max(shares))]
    has_pyramid = isinstance(network.modules, Yolox) and isinstance(network.modules.backbone, PathAggregation)
    return _before_pyramid(level, layers) if has_pyramid else level


def _before_pyramid(level: MapLayer, layers: Sequence[MapLayer]) -> MapLayer:
    """The last stage of the backbone with maps of the size of a level; stages have the shortest names."""
    of_backbone = [
        layer
        for layer in reversed(layers)
        if layer.name.startswith(_BACKBONE) and not layer.name.startswith(_PROJECTIONS) and layer.size == level.size
    ]
    return min(of_backbone, key=lambda layer: layer.name.count("."), default=level)


def _cells(layer: MapLayer) -> int:
    return layer.size[0] * layer.size[1]
