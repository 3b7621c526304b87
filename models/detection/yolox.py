"""YOLOX, an anchor-free one-stage detector with a decoupled head (arXiv:2107.08430).

A backbone extracts features of strides 8, 16 and 32, a path-aggregation network (PAN, arXiv:1803.01534) fuses them, and
on each level a head of two branches predicts class, objectness and box for every cell.

Parameters have the names and shapes of the official checkpoints (https://github.com/Megvii-BaseDetection/YOLOX), so
that those load as they are; `models.detection.yolox_family` lists the sizes.
"""

from collections.abc import Sequence
from math import log
from typing import Final

import torch
from torch import Tensor, nn

from models.detection.csp import Activation, CspLayer, convolution, normalised

STRIDES: Final = (8, 16, 32)
"""Pixels of the input per cell, level by level."""

_RARE: Final = 0.01
"""Prior probability of an object in a cell, which initialises the bias (arXiv:1708.02002, section 4.1)."""


class Yolox(nn.Module):
    """YOLOX, from images to the raw outputs of its head.

    Args:
        backbone: From images to three feature maps of strides 8, 16 and 32, with the pyramid around it where it has
            one (`PathAggregation`).
        head: Of as many levels.
    """

    def __init__(self, backbone: nn.Module, head: "YoloxHead") -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Computes the raw maps that `models.detection.grid` decodes.

        Args:
            images: (N, 3, H, W), normalised; H and W multiples of 32.

        Returns:
            For each of `STRIDES` (N, 5 + class_count, H / stride, W / stride): the box as four numbers, the objectness
            logit, and one logit a class.
        """
        return self.head(self.backbone(images))


class PathAggregation(nn.Module):
    """Path-aggregation network: a feature pyramid with an additional bottom-up path, over a backbone.

    Args:
        backbone: From images to features of strides 8, 16 and 32.
        channels: Of those three.
        depth: Bottlenecks of each cross-stage layer.
        depthwise: Whether the 3 × 3 convolutions are depthwise separable.
        activation: After every convolution.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: tuple[int, int, int],
        depth: int,
        depthwise: bool = False,
        activation: Activation = nn.SiLU,
    ) -> None:
        super().__init__()
        low, middle, high = channels

        def mixed(channels_in: int, channels_out: int) -> CspLayer:
            return CspLayer(channels_in, channels_out, depth, depthwise, activation, shortcut=False)

        self.backbone = backbone
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral_conv0 = normalised(high, middle, 1, activation=activation)
        self.C3_p4 = mixed(2 * middle, middle)
        self.reduce_conv1 = normalised(middle, low, 1, activation=activation)
        self.C3_p3 = mixed(2 * low, low)
        self.bu_conv2 = convolution(low, low, 3, 2, depthwise, activation)
        self.C3_n3 = mixed(2 * low, middle)
        self.bu_conv1 = convolution(middle, middle, 3, 2, depthwise, activation)
        self.C3_n4 = mixed(2 * middle, high)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) to three maps of strides 8, 16 and 32, with the backbone's numbers of channels."""
        return self.aggregated(*self.backbone(images))

    def aggregated(self, low: Tensor, middle: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same from the three maps of the backbone."""
        high = self.lateral_conv0(high)
        middle = self.C3_p4(torch.cat([self.upsample(high), middle], 1))
        middle = self.reduce_conv1(middle)
        low = self.C3_p3(torch.cat([self.upsample(middle), low], 1))
        middle = self.C3_n3(torch.cat([self.bu_conv2(low), middle], 1))
        high = self.C3_n4(torch.cat([self.bu_conv1(middle), high], 1))
        return low, middle, high


class YoloxHead(nn.Module):
    """The decoupled head: class on one branch, box and objectness on the other; weights are not shared between levels.

    Args:
        class_count: Number of classes.
        channels: Of each level's features.
        width: Channels within the head.
        depthwise: Whether its 3 × 3 convolutions are depthwise separable.
        activation: After every convolution but the last.
    """

    def __init__(
        self,
        class_count: int,
        channels: Sequence[int],
        width: int,
        depthwise: bool = False,
        activation: Activation = nn.SiLU,
    ) -> None:
        super().__init__()
        self.class_count = class_count

        def branch() -> nn.Sequential:
            return nn.Sequential(*(convolution(width, width, 3, 1, depthwise, activation) for _ in range(2)))

        self.cls_convs = nn.ModuleList(branch() for _ in channels)
        self.reg_convs = nn.ModuleList(branch() for _ in channels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, class_count, 1) for _ in channels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in channels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in channels)
        self.stems = nn.ModuleList(normalised(level, width, 1, activation=activation) for level in channels)
        for name, bias in self.named_parameters():
            if name.startswith(("cls_preds", "obj_preds")) and name.endswith("bias"):
                nn.init.constant_(bias, -log((1 - _RARE) / _RARE))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Feature maps to raw maps, level by level; see `Yolox.forward`."""
        return tuple(self._level(level, feature) for level, feature in enumerate(features))

    def _level(self, level: int, feature: Tensor) -> Tensor:
        stem = self.stems[level](feature)
        regression = self.reg_convs[level](stem)
        box, objectness = self.reg_preds[level](regression), self.obj_preds[level](regression)
        return torch.cat([box, objectness, self.cls_preds[level](self.cls_convs[level](stem))], 1)
