"""Proposals of a request: the regions that a two-stage detector classifies instead of its own.

The three detectors of the family differ in where proposals come from and when the convolutions run:

    R-CNN         arXiv:1311.2524   proposals given, each cut out of the image, which the convolutions see crop by crop
    Fast R-CNN    arXiv:1504.08083  proposals given, pooled from the feature maps of the whole image
    Faster R-CNN  arXiv:1506.01497  proposals by a region proposal network, pooled from the same feature maps
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from models.adapter import ModelInput
from models.parameters import Family

CROP_SIDE: Final = 224
"""Side of a crop in pixels: the input size of the backbone's own training, as in R-CNN's paper (227)."""
CONTEXT: Final = 16
"""Pixels of a crop around the proposal on each side; R-CNN's paper, appendix A."""
CROPS_PER_PASS: Final = 32
"""Crops in one run of the network."""


@dataclass(frozen=True, eq=False)
class ProposedInput(ModelInput):
    """An image with the regions that are to be classified.

    Attributes:
        proposals: (K, 4) float32, x_min, y_min, x_max, y_max in pixels of the network's input, K at least 1.
        family: Which detector takes them.
    """

    proposals: Tensor
    family: Family

    @property
    def batch_key(self) -> Hashable:
        """Inputs of equal keys may share a batch."""
        return (*self.pixels.shape, self.family, self.view_count)

    @property
    def view_count(self) -> int:
        """Images that go through the network: of R-CNN, its crops."""
        return len(self.proposals) if self.family == "rcnn" else 1

    @property
    def pixel_count(self) -> int:
        """Pixels that go through the network."""
        return self.view_count * CROP_SIDE**2 if self.family == "rcnn" else super().pixel_count


def cut_out(pixels: NDArray[np.uint8], boxes: Tensor, pad: int) -> NDArray[np.uint8]:
    """Cuts proposals out of an image, each warped to a square, with some pixels of context around it.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        boxes: (K, 4) float32, in its pixels.
        pad: Grey level of what lies outside the image.

    Returns:
        (K, CROP_SIDE, CROP_SIDE, 3) uint8 RGB, bilinear.
    """
    height, width = pixels.shape[:2]
    image = torch.as_tensor(pixels).permute(2, 0, 1).float()[None] - pad
    along = (torch.arange(CROP_SIDE) + 0.5 - CONTEXT) / (CROP_SIDE - 2 * CONTEXT)  # 0 to 1 within the box
    low, size = boxes[:, :2, None], (boxes[:, 2:] - boxes[:, :2])[..., None]
    places = low + along * size  # (K, x and y, CROP_SIDE)
    across, down = (2 * places[:, axis] / side - 1 for axis, side in ((0, width), (1, height)))
    grid = torch.stack([across[:, None].expand(-1, CROP_SIDE, -1), down[:, :, None].expand(-1, -1, CROP_SIDE)], -1)
    crops = grid_sample(image.expand(len(boxes), -1, -1, -1), grid, align_corners=False) + pad
    return crops.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def place_in_crop() -> Tensor:
    """(1, 4) float32: where the proposal lies in its crop."""
    return torch.tensor([[CONTEXT, CONTEXT, CROP_SIDE - CONTEXT, CROP_SIDE - CONTEXT]], dtype=torch.float32)
