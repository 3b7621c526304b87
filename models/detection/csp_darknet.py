"""CSPDarknet, the backbone of YOLOX: Darknet-53 (arXiv:1804.02767) with cross-stage partial layers (arXiv:1911.11929).

The attribute names are those of the official checkpoints (https://github.com/Megvii-BaseDetection/YOLOX).
"""

import torch
from torch import Tensor, nn

from models.detection.csp import Activation, CspLayer, convolution, normalised


class CspDarknet(nn.Module):
    """CSPDarknet backbone, from images to features of strides 8, 16 and 32.

    Args:
        width: Channels of the stem; the features have 4, 8 and 16 times as many.
        depth: Bottlenecks of the first and the last stage; the two between have three times as many.
        depthwise: Whether the 3 × 3 convolutions are depthwise separable.
        activation: After every convolution.
    """

    def __init__(self, width: int, depth: int, depthwise: bool = False, activation: Activation = nn.SiLU) -> None:
        super().__init__()

        def halved(channels_in: int) -> nn.Module:
            return convolution(channels_in, 2 * channels_in, 3, 2, depthwise, activation)

        def mixed(channels: int, bottlenecks: int, shortcut: bool = True) -> CspLayer:
            return CspLayer(channels, channels, bottlenecks, depthwise, activation, shortcut)

        self.stem = Focus(width, activation)
        self.dark2 = nn.Sequential(halved(width), mixed(2 * width, depth))
        self.dark3 = nn.Sequential(halved(2 * width), mixed(4 * width, 3 * depth))
        self.dark4 = nn.Sequential(halved(4 * width), mixed(8 * width, 3 * depth))
        self.dark5 = nn.Sequential(
            halved(8 * width), PooledPyramid(16 * width, activation), mixed(16 * width, depth, shortcut=False)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W), H and W multiples of 32, to (N, 4, 8 and 16 times width, H / s, W / s) for s in 8, 16, 32."""
        low = self.dark3(self.dark2(self.stem(images)))
        middle = self.dark4(low)
        return low, middle, self.dark5(middle)


class Focus(nn.Module):
    """Space-to-depth stem: every 2 × 2 pixels become one cell of 12 channels, then a 3 × 3 convolution.

    The four pixels come in the order top left, bottom left, top right, bottom right, each with its three colours.

    Args:
        channels_out: Output channels.
        activation: After the convolution.
    """

    def __init__(self, channels_out: int, activation: Activation) -> None:
        super().__init__()
        self.conv = normalised(12, channels_out, 3, activation=activation)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, channels_out, H / 2, W / 2)."""
        count, colours, height, width = images.shape
        cells = images.view(count, colours, height // 2, 2, width // 2, 2)
        return self.conv(cells.permute(0, 5, 3, 1, 2, 4).flatten(1, 3))


class PooledPyramid(nn.Module):
    """Spatial pyramid pooling (arXiv:1406.4729): the features beside their maxima over 5 × 5, 9 × 9 and 13 × 13 cells.

    The larger windows are the 5 × 5 one applied two and three times, which is the same and less work.

    Args:
        channels: Of input and output.
        activation: After every convolution.
    """

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = normalised(channels, channels // 2, 1, activation=activation)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.conv2 = normalised(2 * channels, channels, 1, activation=activation)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        reduced = self.conv1(features)
        over_5 = self.pool(reduced)
        over_9 = self.pool(over_5)
        return self.conv2(torch.cat([reduced, over_5, over_9, self.pool(over_9)], 1))
