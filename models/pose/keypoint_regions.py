"""Runs torchvision's Keypoint R-CNN (arXiv:1703.06870, section 5) up to its boxes and the key points within them.

The boxes come from `models.detection.torchvision_detectors`; the keypoint branch runs after NMS, on the boxes that a
request wants.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

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
from torchvision.models.detection import KeypointRCNN

from models.detection.candidates import Candidates
from models.detection.region_pool import RegionPool
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.entries import LetterboxPreprocessing
from models.execution.finite import require_finite
from models.execution.head import head_for
from models.pose.heat_maps import HeatMaps, regions_around
from models.runtime import Runtime

_REGIONS_PER_PASS: Final = 16
"""The features of 16 regions of torchvision's network, 512 channels of 14 × 14, take 6 MB a layer."""


@dataclass(frozen=True, eq=False)
class RegionPoints:
    """The candidates of one image, and what finds the key points within a box.

    Attributes:
        candidates: Before NMS, boxes in pixels of the network's input.
        maps_of: From boxes (M, 4) in these pixels to their heat maps. Several threads may call it; it raises
            `NonFiniteOutput` where a heat map contains NaN or infinity.
    """

    candidates: Candidates
    maps_of: Callable[[Tensor], HeatMaps]


class RegionPointNetwork(Protocol):
    """A pose network on its device."""

    def region_points(self, pixels: NDArray[np.uint8]) -> list[RegionPoints]:
        """Runs the network.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, N at least 1, resized and padded as `models.imaging.letterbox` does.

        Returns:
            One for each of the N images, in the same order.
        """
        ...


class KeypointRcnnRegions:
    """A Keypoint R-CNN as a `RegionPointNetwork`.

    Args:
        network: A float32 network in evaluation mode; it is not changed. Its own resizing, normalisation and thresholds
            are not used.
        preprocessing: Of the model.
        runtime: A resolved runtime.
        first_label: The network's label of class id 0: 0 where the class names count the background, 1 where they do
            not.

    Attributes:
        boxes: The stages up to the boxes.
        key_points: K, the heat maps of a region.

    Raises:
        TypeError: The network is no Keypoint R-CNN of torchvision.
    """

    def __init__(
        self, network: nn.Module, preprocessing: LetterboxPreprocessing, runtime: Runtime, first_label: int = 0
    ) -> None:
        if not isinstance(network, KeypointRCNN):
            raise TypeError(f"{type(network).__name__} is no Keypoint R-CNN of torchvision")
        self.boxes = TorchvisionCandidates(network, preprocessing, runtime, first_label)
        self._branch = _KeypointBranch(network, runtime)
        self.key_points = self._branch.key_points

    @property
    def keypoint_head(self) -> tuple[nn.Module, tuple[int, int, int]]:
        """The layers of the keypoint branch, and the (F, S, S) shape of a pooled region."""
        return self._branch.layers

    @torch.inference_mode()
    def region_points(self, pixels: NDArray[np.uint8]) -> list[RegionPoints]:
        """See `RegionPointNetwork.region_points`."""
        height, width = pixels.shape[1:3]
        return [
            RegionPoints(candidates, partial(self._branch.maps, regions.features, size=(height, width)))
            for candidates, regions in self.boxes.with_regions(pixels)
        ]


class _KeypointBranch:
    """The keypoint branch on its device; RoIAlign runs in float32, and the branch in the runtime's precision.

    Attributes:
        layers: Its network, and the (F, S, S) shape of a pooled region.
        key_points: K, the heat maps of a region.
    """

    def __init__(self, network: KeypointRCNN, runtime: Runtime) -> None:
        heads: Any = network.roi_heads
        self._device = torch.device(runtime.device)
        self._pool = RegionPool(copy.deepcopy(heads.keypoint_roi_pool))
        self._margin: float = getattr(network, "region_margin", 0.0)
        self._object_share: float | None = getattr(network, "object_share", None)
        head, predictor = heads.keypoint_head, heads.keypoint_predictor
        layers = nn.Sequential(OrderedDict(keypoint_head=head, keypoint_predictor=predictor)).eval()
        height, width = self._pool.output_size
        self.layers = layers, (int(cast(Any, network.backbone).out_channels), height, width)
        self._head = head_for(*self.layers, runtime)
        with torch.inference_mode():
            self.key_points = int(layers(torch.zeros(1, *self.layers[1])).shape[1])

    @torch.inference_mode()
    def maps(self, features: Mapping[str, Tensor], boxes: Tensor, size: tuple[int, int]) -> HeatMaps:
        """Computes the heat maps of boxes of an input of a (height, width): see `RegionPoints.maps_of`."""
        regions = regions_around(boxes.to(self._device), self._margin)
        starts = range(0, max(1, len(regions)), _REGIONS_PER_PASS)
        passes = [self._looked_at(features, regions[start : start + _REGIONS_PER_PASS], size) for start in starts]
        sides = boxes[:, 2:] - boxes[:, :2]
        areas = None if self._object_share is None else self._object_share * sides.prod(1).cpu()
        return HeatMaps(torch.cat(passes), regions.cpu(), areas)

    def _looked_at(self, features: Mapping[str, Tensor], regions: Tensor, size: tuple[int, int]) -> Tensor:
        logits = self._head(self._pool(features, regions, size))
        require_finite(logits)
        return logits.cpu()
