"""U-Net (arXiv:1505.04597) with an EfficientNet-Lite0 encoder, which can be pretrained on ImageNet."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.classification.efficientnet_lite import LITE0
from models.detection.lite_backbone import LiteEncoder
from models.segmentation.unet import convolution, padded

TAPPED: Final = (0, 1, 2, 4, 6)
"""The stages of the encoder whose outputs have strides 2, 4, 8, 16 and 32."""
_STRIDE: Final = 32


class LiteUNet(nn.Module):
    """U-Net on EfficientNet-Lite0, from images to class logits of every pixel.

    The encoder reads the image turned by 180 degrees (see `EfficientNetLite`), and so does the decoder: the scores are
    turned back once.

    Args:
        class_count: Number of classes, with the background.
        width: Channels of the decoder at stride 2; at the strides 4, 8, 16 and 32 it has 1.5, 2, 3 and 4 times as many.
    """

    def __init__(self, class_count: int, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.encoder = LiteEncoder()
        widths, skips = decoder_widths(width), skip_channels()
        self.bottom = nn.Sequential(*convolution(skips[-1], widths[-1], 1))
        self.decoder = nn.ModuleList(
            decoder_level(below, skip, above) for above, below, skip in zip(widths, widths[1:], skips, strict=False)
        )
        self.classifier = nn.Conv2d(width, class_count, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Computes the logits.

        Args:
            images: (N, 3, H, W), normalised, of any size.

        Returns:
            (N, class_count, H, W) logits.
        """
        height, width = images.shape[2:]
        skipped = self.encoder.tapped(padded(images, _STRIDE).flip(2, 3), TAPPED)
        features = self.bottom(skipped[-1])
        for level in reversed(range(len(self.decoder))):
            features = joined(self.decoder[level], features, skipped[level])
        return _doubled(self.classifier(features), "bilinear").flip(2, 3)[:, :, :height, :width]


def build_unet_lite(class_count: int, width: int = 32) -> LiteUNet:
    """Builds the network, with random weights.

    Args:
        class_count: Number of classes, with the background.
        width: Channels of the decoder at stride 2.

    Raises:
        ValueError: The width is below 1.
    """
    return LiteUNet(class_count, width)


def decoder_widths(width: int) -> list[int]:
    """Channels of the decoder at the strides 2, 4, 8, 16 and 32, from those at stride 2."""
    return [width, width + width // 2, 2 * width, 3 * width, 4 * width]


def skip_channels() -> list[int]:
    """Channels of the encoder at the strides 2, 4, 8, 16 and 32."""
    return [LITE0[stage].channels for stage in TAPPED]


def decoder_level(below: int, skip: int, above: int) -> nn.Sequential:
    """The convolutions of one level of the decoder, which `joined` calls.

    Args:
        below: Channels of the level below.
        skip: Channels of the encoder at this level.
        above: Output channels.
    """
    return nn.Sequential(*convolution(below + skip, above), *convolution(above, above))


def joined(level: nn.Module, features: Tensor, skipped: Tensor) -> Tensor:
    """Doubles the features of the level below, appends those of the encoder, and convolves both."""
    return level(torch.cat([_doubled(features, "nearest"), skipped], 1))


def _doubled(features: Tensor, mode: str) -> Tensor:
    return interpolate(features, scale_factor=2.0, mode=mode)
