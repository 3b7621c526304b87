"""A conditional DCGAN for small grey images: a generator and a discriminator of strided convolutions.

The shape is that of arXiv:1511.06434: no pooling, batch norm in the generator, LeakyReLU in the discriminator, tanh at
the end. The class enters the generator as a vector beside the noise (arXiv:1411.1784) and as the gains and biases of
its batch norms (arXiv:1707.00683), and the discriminator as a projection (arXiv:1802.05637). Spectral norm
(arXiv:1802.05957) takes the place of batch norm in the discriminator.
"""

from __future__ import annotations

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

DCGAN: Final = "dcgan"
"""The architecture of generators, as a card names it."""
SIDE: Final = 28
"""Side of the images in pixels."""

_SMALLEST_SIDE: Final = 7
"""Of the generator's first feature maps in pixels."""
_LAST_SIDE: Final = 3
"""Of the discriminator's last feature maps in pixels."""
_SLOPE: Final = 0.2
"""Of LeakyReLU, as in arXiv:1511.06434, section 3."""


class ClassBatchNorm(nn.Module):
    """Batch norm with a gain and a bias for each class (arXiv:1707.00683).

    Args:
        channels: Of the feature maps.
        class_count: Number of classes.
    """

    def __init__(self, channels: int, class_count: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gains = nn.Embedding(class_count, channels)
        self.biases = nn.Embedding(class_count, channels)
        nn.init.ones_(self.gains.weight)
        nn.init.zeros_(self.biases.weight)

    def forward(self, features: Tensor, class_ids: Tensor) -> Tensor:
        """From (N, C, H, W) and (N,) int64 to (N, C, H, W)."""
        gains, biases = self.gains(class_ids), self.biases(class_ids)
        return self.norm(features) * gains[:, :, None, None] + biases[:, :, None, None]


class Generator(nn.Module):
    """Turns noise and a class into an image of 28 x 28 pixels.

    Args:
        class_count: Number of classes.
        latent_size: Numbers of noise an image.
        width: Channels of the last hidden layer; the two before it have two and four times as many.
    """

    def __init__(self, class_count: int, latent_size: int = 64, width: int = 32) -> None:
        super().__init__()
        self.class_count = class_count
        self.latent_size = latent_size
        self._widest = 4 * width
        self.classes = nn.Embedding(class_count, latent_size)
        self.project = nn.Linear(2 * latent_size, self._widest * _SMALLEST_SIDE**2, bias=False)
        self.norm1 = ClassBatchNorm(4 * width, class_count)
        self.conv1 = nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, padding=1, bias=False)
        self.norm2 = ClassBatchNorm(2 * width, class_count)
        self.conv2 = nn.ConvTranspose2d(2 * width, width, 4, 2, padding=1, bias=False)
        self.norm3 = ClassBatchNorm(width, class_count)
        self.conv3 = nn.Conv2d(width, 1, 3, padding=1)
        _start(self)

    def forward(self, noise: Tensor, class_ids: Tensor) -> Tensor:
        """Generates images.

        Args:
            noise: (N, latent_size) float32, of the standard normal distribution.
            class_ids: (N,) int64, 0 to class_count - 1.

        Returns:
            (N, 1, 28, 28), -1 (black) to 1 (white).
        """
        inputs = torch.cat([noise, self.classes(class_ids)], 1)
        features: Tensor = self.project(inputs).view(-1, self._widest, _SMALLEST_SIDE, _SMALLEST_SIDE)
        features = self.conv1(functional.relu(self.norm1(features, class_ids)))
        features = self.conv2(functional.relu(self.norm2(features, class_ids)))
        return torch.tanh(self.conv3(functional.relu(self.norm3(features, class_ids))))


class Discriminator(nn.Module):
    """Scores how real an image of a class looks: the higher, the more.

    Args:
        class_count: Number of classes.
        width: Channels of the first layer; the next have two and four times as many.
    """

    def __init__(self, class_count: int, width: int = 32) -> None:
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv2d(1, width, 4, 2, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, padding=1))
        self.conv3 = spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, 2, padding=1))
        self.hidden = spectral_norm(nn.Linear(4 * width * _LAST_SIDE**2, 4 * width))
        self.score = spectral_norm(nn.Linear(4 * width, 1))
        self.classes = spectral_norm(nn.Embedding(class_count, 4 * width))
        _start(self)

    def forward(self, images: Tensor, class_ids: Tensor) -> Tensor:
        """From (N, 1, 28, 28), -1 to 1, and (N,) int64 to (N,) scores."""
        features = images
        for convolution in (self.conv1, self.conv2, self.conv3):
            features = functional.leaky_relu(convolution(features), _SLOPE)
        features = functional.leaky_relu(self.hidden(features.flatten(1)), _SLOPE)
        projected = (self.classes(class_ids) * features).sum(1)
        return cast("Tensor", self.score(features))[:, 0] + projected


def _start(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.orthogonal_(module.weight)
