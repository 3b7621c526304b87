"""Perceptual losses: a photo's content and a style are compared by the feature maps of a classification network.

Papers: Gatys et al. (arXiv:1508.06576) for content and style, Johnson et al. (arXiv:1603.08155) for total variation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from models.classification.bundled import EFFICIENTNET_LITE0
from models.classification.efficientnet_lite import EfficientNetLite, folded, from_published
from models.classification.torchvision_entries import entry_of
from models.classification.torchvision_networks import build
from models.sources.torchvision_weights import installed
from models.sources.weights_files import fetch, load_into, read_state_dict

Features = Literal["efficientnet-lite0", "vgg19"]
"""Names of the networks whose feature maps may be compared."""

_VGG_RELUS: Final = (1, 6, 11, 20, 29)
"""Indices of relu1_1 to relu5_1 in torchvision's VGG-19."""
_EPSILON: Final = 1e-8


class FeatureNetwork(Protocol):
    """Computes the feature maps that are compared; its weights need no gradient.

    Attributes:
        content_layer: Index of the feature map that is compared for content.
    """

    content_layer: int

    def __call__(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) RGB, 0 to 1, to feature maps (N, C, h, w), from fine to coarse."""
        ...


class LiteFeatures(nn.Module):
    """Feature maps of EfficientNet-Lite0, of strides 2, 2, 4, 8 and 16.

    They are those of the expansions, before ReLU6: its inverted residual blocks give out few channels, and ReLU6 has no
    gradient above 6, where strong edges are.
    """

    content_layer = 3

    def __init__(self) -> None:
        super().__init__()
        entry = EFFICIENTNET_LITE0
        path = fetch(entry)
        state, _ = read_state_dict(entry, path)
        network = EfficientNetLite(entry.class_count, batch_norm=False)
        load_into(network, folded(from_published(state)), entry, path)
        self.stem = network.stem
        self.stages = network.stages[:4]
        _unchanged_inputs(self)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """See `FeatureNetwork.__call__`."""
        features = self.stem[0]((images.flip(2, 3) * 255 - 127) / 128)
        found = [features]
        features = self.stem[2](features)
        tapped = {(1, 0), (1, 1), (2, 1), (3, 1)}
        for number, stage in enumerate(self.stages):
            blocks: Any = stage
            for index, block in enumerate(blocks):
                if (number, index) in tapped:
                    found.append(block.expand[0](features))
                if (number, index) == max(tapped):
                    return found
                features = block(features)
        raise AssertionError("a block that is compared is missing")


class VggFeatures(nn.Module):
    """Feature maps of torchvision's VGG-19, after the first ReLU of each of its five blocks, as Gatys et al. take them.

    For content they are compared in the fourth block.
    """

    content_layer = 3
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        weights, entry = installed("torchvision/vgg19", entry_of)
        path = fetch(entry)
        state, _ = read_state_dict(entry, path)
        network = build(weights, entry.architecture)
        load_into(network, state, entry, path)
        layers = network.features
        assert isinstance(layers, nn.Sequential)
        self.layers = layers[: _VGG_RELUS[-1] + 1]
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        preprocessing = entry.image_preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """See `FeatureNetwork.__call__`."""
        features = (images * 255 - self.mean) / self.std
        found: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index in _VGG_RELUS:
                found.append(features)
        return found


def _unchanged_inputs(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = False


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much each part of the loss counts.

    Attributes:
        content: Weight of the content loss, at least 0.
        style: Weight of the style loss, at least 0.
        variation: Weight of the total variation, at least 0.
    """

    content: float = 6.0
    style: float = 30.0
    variation: float = 4.0


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts of the loss, without weights: scalars, and their weighted sum."""

    content: Tensor
    style: Tensor
    variation: Tensor
    total: Tensor


def gram_matrix(features: Tensor) -> Tensor:
    """Computes the mean products of channels over all positions.

    Args:
        features: (N, C, H, W).

    Returns:
        (N, C, C): of each image the Gram matrix of its feature map, divided by H * W.
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def total_variation(images: Tensor) -> Tensor:
    """The mean squared difference of neighbouring pixels, vertical plus horizontal.

    Args:
        images: (N, C, H, W); of a side of 1 the differences along it are 0.
    """
    vertical = (images[:, :, 1:] - images[:, :, :-1]).square()
    horizontal = (images[:, :, :, 1:] - images[:, :, :, :-1]).square()
    return sum((part.mean() for part in (vertical, horizontal) if part.numel()), torch.zeros(()))


class PerceptualLoss:
    """Compares images with the content of photos and with a style.

    Args:
        network: Computes the feature maps.
        style: (1, 3, H, W) RGB, 0 to 1.
        weights: Of the parts of the loss.
    """

    def __init__(self, network: FeatureNetwork, style: Tensor, weights: LossWeights) -> None:
        self._network = network
        self.weights = weights
        with torch.no_grad():
            self._grams = [gram_matrix(layer) for layer in network(style)]

    def content_of(self, photos: Tensor) -> Tensor:
        """The feature map of photos, (N, 3, H, W) RGB, 0 to 1, that `__call__` compares."""
        with torch.no_grad():
            return self._network(photos)[self._network.content_layer]

    def __call__(self, images: Tensor, content: Tensor) -> Losses:
        """Computes the loss of images.

        Args:
            images: (N, 3, H, W) RGB, 0 to 1.
            content: From `content_of`, of photos of the same shape.

        Returns:
            Content loss relative to the mean square of the content, style loss relative to that of the style's Gram
            matrices (mean over the layers), so that a black box of other features keeps the same weights.
        """
        found = self._network(images)
        scale = content.square().mean() + _EPSILON
        content_loss = (found[self._network.content_layer] - content).square().mean() / scale
        style_loss = self._style_loss(found)
        variation = total_variation(images)
        weights = self.weights
        total = weights.content * content_loss + weights.style * style_loss + weights.variation * variation
        return Losses(content_loss, style_loss, variation, total)

    def _style_loss(self, found: Sequence[Tensor]) -> Tensor:
        layers = [
            (gram_matrix(layer) - gram).square().mean() / (gram.square().mean() + _EPSILON)
            for layer, gram in zip(found, self._grams, strict=True)
        ]
        return torch.stack(layers).mean()


def feature_names() -> tuple[str, ...]:
    """Lists the networks that `open_features` opens."""
    return get_args(Features)


def open_features(name: Features, device: str = "cpu") -> FeatureNetwork:
    """Loads a feature network.

    Args:
        name: Which one.
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        WeightsUnavailable: Its weights are not on this machine and cannot be downloaded.
        WeightsCorrupt: The weights file is damaged or has the wrong digest.
    """
    return (LiteFeatures() if name == "efficientnet-lite0" else VggFeatures()).to(device)
