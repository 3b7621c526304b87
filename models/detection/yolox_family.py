"""The official sizes of YOLOX (arXiv:2107.08430, tables 2 to 4), and their checkpoints.

Depth and width are those of the official experiments (https://github.com/Megvii-BaseDetection/YOLOX, `exps/default`).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from torch import Tensor

from models.detection.csp_darknet import CspDarknet
from models.detection.yolox import PathAggregation, Yolox, YoloxHead

_STEM: Final = "backbone.backbone.stem.conv.conv.weight"
_FULL_WIDTH: Final = 64
_FULL_HEAD_WIDTH: Final = 256


class YoloxSize(NamedTuple):
    """Depth and width multipliers of a size of YOLOX.

    Attributes:
        depth: Bottlenecks of a cross-stage layer.
        width: Multiplier of channels, relative to the size l.
        depthwise: Whether the 3 × 3 convolutions are depthwise separable.
    """

    depth: int
    width: float
    depthwise: bool = False


SIZES: Final[Mapping[str, YoloxSize]] = {
    "nano": YoloxSize(1, 0.25, depthwise=True),
    "tiny": YoloxSize(1, 0.375),
    "s": YoloxSize(1, 0.5),
    "m": YoloxSize(2, 0.75),
    "l": YoloxSize(3, 1.0),
    "x": YoloxSize(4, 1.25),
}


def build_yolox(size: str, class_count: int = 80) -> Yolox:
    """Builds a YOLOX network of a size, with random weights.

    Args:
        size: One of `SIZES`.
        class_count: Number of classes.

    Returns:
        The network; its input is RGB on the scale 0 to 255.

    Raises:
        KeyError: There is no such size.
    """
    depth, width, depthwise = SIZES[size]
    stem = int(_FULL_WIDTH * width)
    channels = 4 * stem, 8 * stem, 16 * stem
    backbone = PathAggregation(CspDarknet(stem, depth, depthwise), channels, depth, depthwise)
    head = YoloxHead(class_count, channels, int(_FULL_HEAD_WIDTH * width), depthwise)
    return Yolox(backbone, head)


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts an official state dict from BGR to RGB input.

    Only the first convolution reads colours, four pixels of three channels each (see
    `models.detection.csp_darknet.Focus`): the order of each three is reversed.

    Args:
        state: The `model` item of a checkpoint file.

    Returns:
        A state dict for `build_yolox` of the same size. Keys that are not the official ones are kept, so that a strict
        load names them.
    """
    turned = dict(state)
    stem = turned.get(_STEM)
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 12:
        turned[_STEM] = stem.view(len(stem), 4, 3, *stem.shape[2:]).flip(2).reshape_as(stem)
    return turned
