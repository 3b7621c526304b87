"""Networks for small images: LeNet-5 for 28 x 28 digits, and the ResNets of CIFAR-10 for 32 x 32 photos."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from models.entries import Preprocessing

LENET5: Final = "lenet5"
RESNET20: Final = "resnet20"

_GREY: Final = Preprocessing(28, 28, "bilinear", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_CIFAR: Final = Preprocessing(32, 32, "bilinear", (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
"""Mean and standard deviation of CIFAR-10's training images, each channel on the scale 0 to 255."""


class LeNet5(nn.Module):
    """LeNet-5: two convolutions with pooling, three linear layers (LeCun et al., 1998, Gradient-Based Learning Applied
    to Document Recognition, section II.B).

    As usual today, it has max pooling, ReLU, a C3 layer that is connected to all feature maps, and a linear output in
    place of the radial basis functions: 61,706 parameters for ten classes (the paper's has 60,000). Colour is averaged
    to grey inside the network.

    Args:
        class_count: Number of classes.
    """

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, class_count)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Computes logits.

        Args:
            images: (N, 3, 28, 28), normalised.

        Returns:
            (N, class_count) logits.
        """
        features: Tensor = self.features(images.mean(1, keepdim=True))
        return self.classifier(features.flatten(1))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm, added to their input.

    Where the resolution is halved, the shortcut takes every second pixel and fills the new channels with zeros: option
    A of arXiv:1512.03385, which has no parameters.

    Args:
        channels: In and out.
        stride: Of the first convolution: 1, or 2 where the channels double.
    """

    def __init__(self, channels: tuple[int, int], stride: int) -> None:
        super().__init__()
        width, outputs = channels
        self.conv1 = nn.Conv2d(width, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self._stride = stride
        self._new_channels = outputs - width

    def forward(self, features: Tensor) -> Tensor:
        """From (N, C, H, W) to (N, C', H / stride, W / stride)."""
        added: Tensor = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(features)))))
        if self._new_channels:
            step = self._stride
            features = functional.pad(features[:, :, ::step, ::step], (0, 0, 0, 0, 0, self._new_channels))
        return functional.relu(features + added)


class CifarResNet(nn.Module):
    """The residual networks of CIFAR-10 (arXiv:1512.03385, section 4.2): 6n + 2 layers of 16, 32 and 64 channels.

    With n = 3 that is ResNet-20 with 0.27 million parameters. It takes images of any size; the paper's are 32 x 32.

    Args:
        class_count: Number of classes.
        blocks: Residual blocks for each of the three resolutions, n.
    """

    def __init__(self, class_count: int, blocks: int = 3) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, not {blocks}")
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        widths = (16, 32, 64)
        stages: list[nn.Module] = []
        before = 16
        for width in widths:
            for _ in range(blocks):
                stages.append(ResidualBlock((before, width), stride=1 if before == width else 2))
                before = width
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(widths[-1], class_count)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Computes logits.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            (N, class_count) logits.
        """
        features: Tensor = self.stages(self.stem(images))
        return self.classifier(features.mean((2, 3)))


@dataclass(frozen=True)
class SmallNetwork:
    """How a network for small images is built and what it takes.

    Attributes:
        build: From the number of classes, and keyword arguments of a card, to the network.
        preprocessing: That of its paper's images.
        least_size: The smallest side of an image in pixels.
        any_size: Whether it takes larger and smaller images than the preprocessing's.
    """

    build: Callable[..., nn.Module]
    preprocessing: Preprocessing
    least_size: int
    any_size: bool


SMALL_NETWORKS: Final[Mapping[str, SmallNetwork]] = {
    LENET5: SmallNetwork(LeNet5, _GREY, least_size=28, any_size=False),
    RESNET20: SmallNetwork(CifarResNet, _CIFAR, least_size=16, any_size=True),
}
"""By architecture name."""
