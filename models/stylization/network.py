"""A feed-forward style network, from photos to stylized photos in one pass.

Papers: Johnson et al. (arXiv:1603.08155) for the residual network that is trained by a perceptual loss, Ulyanov et al.
(arXiv:1607.08022) for instance normalisation. It is narrower than the paper's (0.35 million parameters, not 1.7), and
enlarges by nearest neighbours and a convolution, which leaves no checkerboard.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

STYLE_NETWORK: Final = "style-network"
"""Its architecture's name in model cards."""
STRIDE: Final = 4
"""Sides of photos are padded to a multiple of it."""
LEAST_SIDE: Final = 8
"""Least side that the network takes, in pixels: reflection needs two rows of the coarsest map."""

_EPSILON: Final = 1e-5
"""Of instance normalisation, as torch's."""


class StyleNetwork(nn.Module):
    """Stylizes photos of any size.

    Args:
        width: Channels of the residual blocks, a multiple of 4.
        blocks: Number of residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.down = nn.Sequential(
            _Convolution(3, width // 4, 5),
            _Convolution(width // 4, width // 2, 3, stride=2),
            _Convolution(width // 2, width, 3, stride=2),
        )
        self.blocks = nn.Sequential(*(_Residual(width) for _ in range(blocks)))
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            _Convolution(width, width // 2, 3),
            nn.Upsample(scale_factor=2, mode="nearest"),
            _Convolution(width // 2, width // 4, 3),
        )
        self.colours = _Convolution(width // 4, 3, 5, last=True)

    def forward(self, images: Tensor) -> Tensor:
        """Stylizes a batch.

        Args:
            images: (N, 3, H, W), normalised to -1..1; H and W are multiples of `STRIDE`, at least `LEAST_SIDE`.

        Returns:
            (N, 3, H, W) RGB, 0 to 1.
        """
        return torch.sigmoid(self.colours(self.up(self.blocks(self.down(images)))))


class _InstanceNorm(nn.Module):
    """`nn.InstanceNorm2d` with gains and biases, without its check of sizes, which cannot be traced for OpenVINO."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean((2, 3), keepdim=True)
        variance = centred.square().mean((2, 3), keepdim=True)
        gain = self.weight.view(-1, 1, 1) * torch.rsqrt(variance + _EPSILON)
        return centred * gain + self.bias.view(-1, 1, 1)


class _Convolution(nn.Module):
    """Reflection padding, convolution, and (but for the last) instance normalisation and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, last: bool = False) -> None:
        super().__init__()
        self.padding = kernel // 2
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel, stride)
        self.norm = nn.Identity() if last else _InstanceNorm(channels_out)
        self.is_last = last

    def forward(self, features: Tensor) -> Tensor:
        padded = functional.pad(features, (self.padding,) * 4, mode="reflect")
        normalised = self.norm(self.convolution(padded))
        return normalised if self.is_last else functional.relu(normalised)


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Convolution(width, width, 3)
        self.second = nn.Conv2d(width, width, 3)
        self.norm = _InstanceNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        padded = functional.pad(self.first(features), (1, 1, 1, 1), mode="reflect")
        return features + self.norm(self.second(padded))
