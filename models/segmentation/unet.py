"""U-Net (arXiv:1505.04597): an encoder, a decoder, and a skip connection at every scale."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

_CLASSIC_WIDTH: Final = 64
_CLASSIC_DEPTH: Final = 4


class UNet(nn.Module):
    """U-Net, from images to class logits of every pixel.

    Two differences from the paper: convolutions are padded, so that the output has the size of the image, and each is
    followed by a batch norm (arXiv:1502.03167).

    Args:
        class_count: Number of classes, with the background.
        width: Channels at full size; twice as many at every halving.
        depth: How many times the image is halved.
    """

    def __init__(self, class_count: int, width: int, depth: int) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"width and depth must be at least 1, not {width} and {depth}")
        widths = [width << level for level in range(depth + 1)]
        self.multiple = 1 << depth
        self.encoder = nn.ModuleList(
            _double_convolution(before, after) for before, after in zip([3, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.rise = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for above, below in pairwise(widths))
        self.decoder = nn.ModuleList(_double_convolution(2 * above, above) for above in widths[:-1])
        self.classifier = nn.Conv2d(width, class_count, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Computes the logits.

        Args:
            images: (N, 3, H, W), normalised, of any size.

        Returns:
            (N, class_count, H, W) logits.
        """
        height, width = images.shape[2:]
        features = padded(images, self.multiple)
        skipped: list[Tensor] = []
        for level, convolutions in enumerate(self.encoder):
            features = convolutions(self.pool(features) if level else features)
            skipped.append(features)
        for level in reversed(range(len(self.decoder))):
            features = self.decoder[level](torch.cat([skipped[level], self.rise[level](features)], 1))
        return self.classifier(features)[:, :, :height, :width]


def build_unet(class_count: int, width: int = _CLASSIC_WIDTH, depth: int = _CLASSIC_DEPTH) -> UNet:
    """Builds the network, with random weights.

    Args:
        class_count: Number of classes, with the background.
        width: Channels at full size; the paper's by default.
        depth: How many times the image is halved; the paper's by default.

    Raises:
        ValueError: A number is below 1.
    """
    return UNet(class_count, width, depth)


def padded(images: Tensor, multiple: int) -> Tensor:
    """Pads with copies of the last row and column until both sides are multiples of a number.

    Args:
        images: (N, C, H, W).
        multiple: What the sides must be multiples of.

    Returns:
        (N, C, H', W').
    """
    height, width = images.shape[2:]
    return pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def convolution(channels_in: int, channels_out: int, kernel: int = 3) -> Sequence[nn.Module]:
    """A convolution that keeps the size, its batch norm and ReLU.

    Args:
        channels_in: Input channels.
        channels_out: Output channels.
        kernel: Side of the kernel, odd.
    """
    return (
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _double_convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(*convolution(channels_in, channels_out), *convolution(channels_out, channels_out))
