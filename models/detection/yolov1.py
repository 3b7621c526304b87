"""YOLOv1 (arXiv:1506.02640): a single network predicts boxes and class probabilities for each cell of a grid.

The image of 448 × 448 pixels is divided into 7 × 7 cells. A cell predicts B boxes, for each a confidence (Pr(object) ×
IoU of prediction and ground truth), and for all of them together the probability of each of C classes. The cell that
contains the centre of an object is responsible for it.
"""

from functools import partial
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import pad

from models.detection.csp import normalised
from models.detection.lite_backbone import LiteBackbone

Backbone = Literal["efficientnet-lite0", "darknet"]

SIDE: Final = 448
"""Side of the paper's input in pixels; box sizes are fractions of it."""
CELL: Final = 64
"""Side of a cell in pixels."""
_BOX_NUMBERS: Final = 5
"""Numbers of a box in the output: x, y, width, height and confidence."""
_GRID: Final = SIDE // CELL
_LEAK: Final = 0.1

_POOL: Final = "pool"
_DARKNET: Final[tuple[tuple[int, int] | tuple[int, int, int] | str, ...]] = (
    *((64, 7, 2), _POOL),
    *((192, 3), _POOL),
    *((128, 1), (256, 3), (256, 1), (512, 3), _POOL),
    *((256, 1), (512, 3)) * 4,
    *((512, 1), (1024, 3), _POOL),
    *((512, 1), (1024, 3)) * 2,
    *((1024, 3), (1024, 3, 2), (1024, 3), (1024, 3)),
)
"""The paper's figure 3: channels, side of the kernel, and the stride where it is not 1, of the 24 convolutions."""


class Predictions(NamedTuple):
    """Decoded output for N images: B boxes for each cell of R rows and C columns.

    Attributes:
        places: (N, R, C, B, 4), the boxes as the network encodes them: the centre from the cell's top left corner in
            cells (x, y), and the square roots of width and height as fractions of 448 pixels.
        boxes: (N, R, C, B, 4), the same as x_min, y_min, x_max, y_max in pixels of the input.
        confidences: (N, R, C, B), about 0 to 1: the probability of an object, times the IoU of the box with it.
        classes: (N, R, C, class_count), about 0 to 1: the probability of each class, if there is an object.
    """

    places: Tensor
    boxes: Tensor
    confidences: Tensor
    classes: Tensor


class YoloV1(nn.Module):
    """YOLOv1, from images to the output grid.

    Args:
        backbone: From images to features.
        head: From those to (N, R, C, 5 boxes_per_cell + class_count).
        class_count: Number of classes.
        boxes_per_cell: B; at most one of them is responsible for an object.
        fixed_side: The image is padded to a square of this side, in pixels, because the head has fully connected
            layers; None where it is convolutional and takes any size.

    Attributes:
        boxes_per_cell: As given.
        fixed_side: As given.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, class_count: int, boxes_per_cell: int, fixed_side: int | None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.class_count = class_count
        self.boxes_per_cell = boxes_per_cell
        self.fixed_side = fixed_side

    def forward(self, images: Tensor) -> Tensor:
        """Computes the output grid.

        Args:
            images: (N, 3, H, W), normalised; H and W at most `fixed_side`, where there is one.

        Returns:
            (N, R, C, 5 boxes_per_cell + class_count), where R and C are H / 64 and W / 64 rounded up, or 7 and 7 for
            the paper's head. For every box of a cell: its centre from the cell's top left corner in cells (x, y), the
            square roots of its width and height as fractions of 448 pixels, its confidence; then the classes. All of
            them are linear outputs: the paper trains even probabilities with squared error.

        Raises:
            ValueError: The images are too large.
        """
        if self.fixed_side is not None:
            height, width = images.shape[-2:]
            if not isinstance(images, fx.Proxy) and max(height, width) > self.fixed_side:
                raise ValueError(f"images of {height} × {width} are larger than {self.fixed_side} pixels")
            images = pad(images, (0, self.fixed_side - width, 0, self.fixed_side - height))
        return self.head(self.backbone(images))


def build_yolov1(
    class_count: int, backbone: Backbone = "efficientnet-lite0", boxes_per_cell: int = 2, width: float = 1.0
) -> YoloV1:
    """Builds a network with random weights.

    Args:
        class_count: Number of classes.
        backbone: `darknet`, the paper's 24 convolutions and two fully connected layers (272 million parameters for 20
            classes), with the batch norms that its author added later; or `efficientnet-lite0`, which can start from
            ImageNet, with a convolutional head that takes any size (4 million parameters).
        boxes_per_cell: The paper's B.
        width: Multiplies the channels of all layers but EfficientNet-Lite0's own.

    Raises:
        ValueError: There is no such backbone.
    """
    depth = _BOX_NUMBERS * boxes_per_cell + class_count
    if backbone == "darknet":
        features, channels = _darknet(width)
        head, fixed_side = _connected_head(channels, int(4096 * width), depth), SIDE
        last = head[-2]
    elif backbone == "efficientnet-lite0":
        features, head, fixed_side = _Deepest(int(256 * width)), _convolutional_head(int(256 * width), depth), None
        last = head[-2]
    else:
        raise ValueError(f"backbone {backbone!r} is none of efficientnet-lite0 and darknet")
    network = YoloV1(features, head, class_count, boxes_per_cell, fixed_side)
    _start_small(last, network)
    return network


def read(raw: Tensor, boxes_per_cell: int) -> Predictions:
    """Decodes the network's output.

    Args:
        raw: (N, R, C, 5 boxes_per_cell + class_count), see `YoloV1.forward`.
        boxes_per_cell: The network's.

    Returns:
        The same, float32, with boxes in pixels.
    """
    raw = raw.float()
    depth = _BOX_NUMBERS * boxes_per_cell
    cells = raw[..., :depth].reshape(*raw.shape[:3], boxes_per_cell, _BOX_NUMBERS)
    places = cells[..., :4]
    centres = (places[..., :2] + corners_of(raw)[:, :, None]) * CELL
    halves = places[..., 2:].square() * (SIDE / 2)
    boxes = torch.cat([centres - halves, centres + halves], -1)
    return Predictions(places, boxes, cells[..., 4], raw[..., depth:])


def corners_of(raw: Tensor) -> Tensor:
    """(R, C, 2) float32: column and row of every cell of a grid (N, R, C, any)."""
    rows, columns = (torch.arange(count, device=raw.device, dtype=torch.float32) for count in raw.shape[1:3])
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)


class _Deepest(nn.Module):
    """EfficientNet-Lite0 that returns only the features of stride 32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pyramid = LiteBackbone(width)

    def forward(self, images: Tensor) -> Tensor:
        return self.pyramid(images)[2]


class _CellsLast(nn.Module):
    """(N, D, R, C) to (N, R, C, D)."""

    def forward(self, grid: Tensor) -> Tensor:
        return grid.permute(0, 2, 3, 1)


_leaky: Final = partial(nn.LeakyReLU, _LEAK)


def _darknet(width: float) -> tuple[nn.Sequential, int]:
    layers: list[nn.Module] = []
    channels = 3
    for layer in _DARKNET:
        if isinstance(layer, str):
            layers.append(nn.MaxPool2d(2, 2))
            continue
        channels_out, kernel, *stride = layer
        wanted = max(1, int(channels_out * width))
        layers.append(normalised(channels, wanted, kernel, *stride, activation=_leaky))
        channels = wanted
    return nn.Sequential(*layers), channels


def _connected_head(channels: int, hidden: int, depth: int) -> nn.Sequential:
    """The paper's fully connected head, whose receptive field is the whole image."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * _GRID**2, hidden),
        _leaky(),
        nn.Dropout(0.5),
        nn.Linear(hidden, depth * _GRID**2),
        nn.Unflatten(1, (_GRID, _GRID, depth)),
    )


def _convolutional_head(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(
        normalised(channels, channels, 3, 2, activation=_leaky),
        normalised(channels, channels, 3, activation=_leaky),
        nn.Conv2d(channels, depth, 1),
        _CellsLast(),
    )


def _start_small(last: Any, network: YoloV1) -> None:
    """Initialises the head so that all cells predict medium boxes, zero confidence and equal class probabilities."""
    box = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.0])
    cell = torch.cat([box.repeat(network.boxes_per_cell), torch.full((network.class_count,), 1 / network.class_count)])
    nn.init.normal_(last.weight, std=0.01)
    last.bias.data = cell.repeat(len(last.bias) // len(cell))
