"""EfficientNet-Lite0 as an encoder and as a backbone of feature pyramids, and YOLOX on that backbone."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from torch import Tensor, nn

from models.classification.efficientnet_lite import LITE0, EfficientNetLite
from models.detection.yolox import PathAggregation, Yolox, YoloxHead

_TAPPED: Final = (2, 4, 6)
"""The stages whose outputs have strides 8, 16 and 32."""
_BATCH_NORM_EPSILON: Final = 1e-3

_relu = partial(nn.ReLU, inplace=True)
"""YOLOX uses SiLU; ReLU can run in place, so that training keeps one activation less for each layer."""


class LiteEncoder(nn.Module):
    """The convolutions of EfficientNet-Lite0.

    They have no batch norms: those of the classifier are folded into the convolutions
    (`models.classification.efficientnet_lite.folded`). So small batches do not disturb their statistics in training,
    and they cost no time.
    """

    def __init__(self) -> None:
        super().__init__()
        network = EfficientNetLite(class_count=1, batch_norm=False)
        self.stem, self.stages = network.stem, network.stages

    def tapped(self, turned: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """Returns the feature maps of some stages.

        Args:
            turned: (N, 3, H, W), normalised and turned by 180 degrees: see `EfficientNetLite`.
            stages: Indices of the stages whose outputs are returned, ascending.

        Returns:
            One for each, turned by 180 degrees as well.
        """
        features = self.stem(turned)
        kept: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if index in stages:
                kept.append(features)
        return kept


class LiteBackbone(LiteEncoder):
    """The encoder, and a projection of three of its outputs to one width.

    Args:
        width: Channels of each output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(LITE0[stage].channels, width, 1, bias=False), nn.BatchNorm2d(width, _BATCH_NORM_EPSILON)
            )
            for stage in _TAPPED
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Computes the features.

        Args:
            images: (N, 3, H, W), normalised; H and W multiples of 32.

        Returns:
            (N, width, H / s, W / s) for s in 8, 16, 32.
        """
        return self.projected(self.tapped(images.flip(2, 3), _TAPPED))

    def projected(self, tapped: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The same from what `tapped` returns of the stages of strides 8, 16 and 32."""
        return tuple(project(features.flip(2, 3)) for project, features in zip(self.projections, tapped, strict=True))


def build_pyramid(width: int) -> PathAggregation:
    """The backbone with a path-aggregation pyramid of one bottleneck a layer.

    Args:
        width: Channels of each of its three outputs.
    """
    return PathAggregation(LiteBackbone(width), (width, width, width), depth=1, activation=_relu)


def build_yolox_lite(class_count: int, width: int = 96, head_width: int = 64) -> Yolox:
    """YOLOX on EfficientNet-Lite0, with random weights.

    Args:
        class_count: Number of classes.
        width: Channels of the pyramid.
        head_width: Channels within the head.
    """
    head = YoloxHead(class_count, (width, width, width), head_width, activation=_relu)
    return Yolox(build_pyramid(width), head)
