"""The building blocks of YOLOX and its backbone: cross-stage partial layers (arXiv:1911.11929).

The attribute names are those of the official checkpoints.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]

_BATCH_NORM_EPSILON: Final = 1e-3
_BATCH_NORM_MOMENTUM: Final = 0.03


class NormalisedConvolution(nn.Module):
    """Convolution, batch norm and activation; the size is divided by the stride and rounded up."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int, activation: Activation
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, _BATCH_NORM_EPSILON, _BATCH_NORM_MOMENTUM)
        self.act = activation()

    def forward(self, features: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(features)))


class SeparableConvolution(nn.Module):
    """A depthwise convolution and a pointwise one."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.dconv = normalised(channels_in, channels_in, kernel, stride, channels_in, activation)
        self.pconv = normalised(channels_in, channels_out, 1, activation=activation)

    def forward(self, features: Tensor) -> Tensor:
        return self.pconv(self.dconv(features))


class Bottleneck(nn.Module):
    """1 × 1 and then 3 × 3 convolution, with a residual connection where enabled and where the widths are equal."""

    def __init__(self, channels: int, depthwise: bool, activation: Activation, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = normalised(channels, channels, 1, activation=activation)
        self.conv2 = convolution(channels, channels, 3, 1, depthwise, activation)
        self.has_shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        filtered = self.conv2(self.conv1(features))
        return filtered + features if self.has_shortcut else filtered


class CspLayer(nn.Module):
    """Half of the channels go through `depth` bottlenecks, the other half around them."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        depth: int,
        depthwise: bool,
        activation: Activation,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        hidden = channels_out // 2
        self.conv1 = normalised(channels_in, hidden, 1, activation=activation)
        self.conv2 = normalised(channels_in, hidden, 1, activation=activation)
        self.conv3 = normalised(2 * hidden, channels_out, 1, activation=activation)
        self.m = nn.Sequential(*(Bottleneck(hidden, depthwise, activation, shortcut) for _ in range(depth)))

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H, W)."""
        return self.conv3(torch.cat([self.m(self.conv1(features)), self.conv2(features)], 1))


def normalised(
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: Activation = nn.SiLU,
) -> NormalisedConvolution:
    """A convolution with its batch norm and activation."""
    return NormalisedConvolution(channels_in, channels_out, kernel, stride, groups, activation)


def convolution(
    channels_in: int, channels_out: int, kernel: int, stride: int, depthwise: bool, activation: Activation
) -> nn.Module:
    """A convolution, in full or depthwise separable."""
    if depthwise:
        return SeparableConvolution(channels_in, channels_out, kernel, stride, activation)
    return normalised(channels_in, channels_out, kernel, stride, activation=activation)
