"""Runs torchvision's Mask R-CNN (arXiv:1703.06870) up to its boxes and their masks of S × S cells.

The boxes come from `models.detection.torchvision_detectors`; the mask branch runs after NMS, on the
boxes that a request wants: a photo of people has 22 above the floor of the score, and 4 above the usual threshold.
"""

# pyright: reportMissingTypeStubs=false

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from models.detection.candidates import Candidates
from models.detection.region_pool import RegionPool
from models.detection.selection import select
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.detection.torchvision_stages import Regions
from models.entries import LetterboxPreprocessing
from models.execution.finite import require_finite
from models.execution.head import head_for
from models.parameters import DetectionParameters
from models.runtime import Runtime

SCORE_FLOOR: Final = 0.05
"""Score threshold before the mask branch; torchvision's default."""
OVERLAP: Final = 0.5
"""NMS threshold (IoU) before the mask branch; torchvision's default."""
MAX_OBJECTS: Final = 300
"""The most objects of an image that get masks, by descending score. torchvision's limit is 100, and a photo of cells
can have more; a mask costs 5 ms on one thread in bf16 with torchvision's largest network, and 0.4 ms with the smallest.
"""
_REGIONS_PER_PASS: Final = 32
"""Of 16, 32 and 64 none was faster than another; 32 take 50 MB with torchvision's largest network."""


@dataclass(frozen=True, eq=False)
class RegionMasks:
    """The objects of one image, by descending score, and what computes the mask of each within its box.

    Attributes:
        objects: K of them, at most `MAX_OBJECTS`, no two of a class overlapping by more than `OVERLAP`; boxes in pixels
            of the network's input.
        masks_of: From (M,) int64 indices of objects to (M, S, S) float32 in [0, 1] on the CPU: mask probability of each
            of S × S equal cells of the box. Several threads may call it; it raises `NonFiniteOutput` where a mask
            contains NaN or infinity.
    """

    objects: Candidates
    masks_of: Callable[[Tensor], Tensor]


class RegionMaskNetwork(Protocol):
    """An instance segmentation network on its device."""

    def region_masks(self, pixels: NDArray[np.uint8]) -> list[RegionMasks]:
        """Runs the network.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, N at least 1, resized and padded as `models.imaging.letterbox` does.

        Returns:
            One for each of the N images, in the same order.
        """
        ...

    def masks_in(self, pixels: NDArray[np.uint8], boxes: Tensor, class_ids: Tensor) -> Tensor:
        """Predicts masks for given boxes and classes.

        Args:
            pixels: (H, W, 3) uint8 RGB, resized and padded as `models.imaging.letterbox` does.
            boxes: (K, 4) float32, x_min, y_min, x_max, y_max in its pixels.
            class_ids: (K,) int64.

        Returns:
            (K, S, S), see `RegionMasks.masks_of`.
        """
        ...


class MaskRcnnRegions:
    """A Mask R-CNN as a `RegionMaskNetwork`.

    Args:
        network: A float32 network in evaluation mode; it is not changed. Its own resizing, normalisation and thresholds
            are not used.
        preprocessing: Of the model.
        runtime: A resolved runtime.
        first_label: The network's label of class id 0: 0 where the class names count the background, 1 where they do
            not.

    Attributes:
        boxes: The same network without its mask branch.

    Raises:
        TypeError: The network is no Mask R-CNN of torchvision.
    """

    def __init__(
        self, network: nn.Module, preprocessing: LetterboxPreprocessing, runtime: Runtime, first_label: int = 0
    ) -> None:
        if not isinstance(network, MaskRCNN):
            raise TypeError(f"{type(network).__name__} is no Mask R-CNN of torchvision")
        self.boxes = TorchvisionCandidates(network, preprocessing, runtime, first_label)
        self._branch = _MaskBranch(network, runtime)
        self._first_label = first_label

    @property
    def mask_head(self) -> tuple[nn.Module, tuple[int, int, int]]:
        """The layers of the mask branch, and the (F, S, S) shape of a pooled region."""
        return self._branch.layers

    @torch.inference_mode()
    def region_masks(self, pixels: NDArray[np.uint8]) -> list[RegionMasks]:
        """See `RegionMaskNetwork.region_masks`."""
        height, width = pixels.shape[1:3]
        return [self.masks_of(*found, (height, width)) for found in self.boxes.with_regions(pixels)]

    def masks_of(self, candidates: Candidates, regions: Regions, size: tuple[int, int]) -> RegionMasks:
        """Selects the objects of one image whose boxes have been found, see `TorchvisionCandidates.with_regions`.

        Args:
            candidates: Of the image.
            regions: Which they were decoded from.
            size: (height, width) of the network's input in pixels.
        """
        objects = select(candidates, DetectionParameters(SCORE_FLOOR, OVERLAP, MAX_OBJECTS))
        return RegionMasks(objects, partial(self._masks, regions.features, objects, size))

    def _masks(
        self, features: Mapping[str, Tensor], objects: Candidates, size: tuple[int, int], wanted: Tensor
    ) -> Tensor:
        return self._branch.masks(features, objects.boxes[wanted], objects.class_ids[wanted] + self._first_label, size)

    def masks_in(self, pixels: NDArray[np.uint8], boxes: Tensor, class_ids: Tensor) -> Tensor:
        """See `RegionMaskNetwork.masks_in`."""
        ((_, regions),) = self.boxes.with_regions(pixels[None])
        height, width = pixels.shape[:2]
        return self._branch.masks(regions.features, boxes, class_ids + self._first_label, (height, width))


class _MaskBranch:
    """The mask branch on its device; RoIAlign runs in float32, and the branch in the runtime's precision.

    Attributes:
        layers: Its network, and the (F, S, S) shape of a pooled region.
    """

    def __init__(self, network: MaskRCNN, runtime: Runtime) -> None:
        heads: Any = network.roi_heads
        self._device = torch.device(runtime.device)
        self._pool = RegionPool(copy.deepcopy(heads.mask_roi_pool))
        layers = nn.Sequential(OrderedDict(mask_head=heads.mask_head, mask_predictor=heads.mask_predictor)).eval()
        height, width = self._pool.output_size
        self.layers = layers, (cast(Any, network.backbone).out_channels, height, width)
        self._head = head_for(*self.layers, runtime)

    @torch.inference_mode()
    def masks(self, features: Mapping[str, Tensor], boxes: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """Predicts (K, S, S) float32 for K boxes of an input of a (height, width): the mask of each one's label."""
        boxes, labels = boxes.to(self._device), labels.to(self._device)
        passes = (slice(start, start + _REGIONS_PER_PASS) for start in range(0, max(1, len(boxes)), _REGIONS_PER_PASS))
        return torch.cat([self._looked_at(features, boxes[some], labels[some], size).cpu() for some in passes])

    def _looked_at(
        self, features: Mapping[str, Tensor], boxes: Tensor, labels: Tensor, size: tuple[int, int]
    ) -> Tensor:
        logits = self._head(self._pool(features, boxes, size))
        require_finite(logits)
        return logits[torch.arange(len(labels), device=labels.device), labels].sigmoid()
