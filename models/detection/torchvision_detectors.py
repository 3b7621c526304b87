"""Runs torchvision's detectors up to their candidates: Faster R-CNN, RetinaNet, FCOS, SSD and SSDlite.

torchvision resizes, normalises, thresholds and runs NMS inside the network. Here only its convolutions and its decoding
of boxes are used: `models.imaging.letterbox` resizes, and `models.detection.selection` filters and runs NMS with the
thresholds of each request. With torchvision's thresholds the predictions equal torchvision's; the tests check that.
"""

# pyright: reportMissingTypeStubs=false

import copy
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from models.detection.candidates import MAX_CANDIDATES, SCORE_FLOOR, Candidates
from models.detection.torchvision_stages import OneStage, Regions, TorchvisionDetector, TwoStages, multiple_of
from models.entries import LetterboxPreprocessing
from models.execution.executor import executor_for
from models.runtime import Runtime

_SMALLEST_SIDE: Final = 1e-2
"""Of a box in pixels; torchvision's second stage drops smaller ones."""


class TorchvisionCandidates:
    """A detector of torchvision as a `models.detection.candidates.CandidateNetwork`.

    Convolutions and the second stage run in the runtime's precision, the last layer of every head and the decoding of
    boxes in float32.

    Args:
        network: A float32 network in evaluation mode; it is not changed. Its own resizing, normalisation and thresholds
            are not used.
        preprocessing: Of the model.
        runtime: A resolved runtime.
        first_label: The network's label of class id 0: 0 where the class names count the background, 1 where they do
            not.

    Raises:
        TypeError: The network is none of torchvision's detectors.
    """

    def __init__(
        self, network: nn.Module, preprocessing: LetterboxPreprocessing, runtime: Runtime, first_label: int = 0
    ) -> None:
        if not isinstance(network, TorchvisionDetector):
            raise TypeError(f"{type(network).__name__} is none of torchvision's detectors")
        network = copy.deepcopy(network).cpu()
        self._stages = TwoStages(network, runtime) if isinstance(network, FasterRCNN) else OneStage(network)
        self._executor = executor_for(self._stages.trunk, preprocessing, runtime)
        self._multiple = multiple_of(network)
        self._first_label = first_label

    @torch.inference_mode()
    def candidates(self, pixels: NDArray[np.uint8]) -> list[Candidates]:
        """See `models.detection.candidates.CandidateNetwork.candidates`."""
        return [found for found, _ in self.with_regions(pixels)]

    @torch.inference_mode()
    def with_regions(self, pixels: NDArray[np.uint8]) -> Iterator[tuple[Candidates, Regions]]:
        """Runs the network and returns the candidates of each image with the regions that they were decoded from.

        Args:
            pixels: As for `candidates`.

        Returns:
            N, in the same order, computed lazily, image by image.
        """
        size = (pixels.shape[1], pixels.shape[2])
        for regions in self.regions(self._executor.run_all(pixels), len(pixels), size):
            yield self._candidates(regions, size), regions

    def regions(self, outputs: Sequence[Tensor], count: int, size: tuple[int, int]) -> Iterator[Regions]:
        """Decodes the outputs of the trunk; the scores can be differentiated by them.

        Args:
            outputs: Of the trunk, float32.
            count: N, number of images.
            size: (height, width) of the images in pixels.

        Returns:
            N, in the same order.
        """
        padded = (-(-side // self._multiple) * self._multiple for side in size)
        images = ImageList(torch.empty(0, 3, *padded), [size] * count)
        return self._stages.regions(outputs, images)

    def scores_of(self, regions: Regions, class_id: int) -> tuple[Tensor, Tensor]:
        """Returns the boxes of a class and their scores, before NMS and without a floor of the score.

        Args:
            regions: Of one image.
            class_id: The class.

        Returns:
            (R, 4) float32, x_min, y_min, x_max, y_max in pixels of the input, and (R,) float32 in [0, 1].
        """
        label = class_id + self._first_label
        places = torch.arange(len(regions.scores), device=regions.scores.device)
        boxes = regions.decode(places, torch.full_like(places, label))
        return boxes, regions.scores[:, label - regions.first_label]

    def _candidates(self, regions: Regions, size: tuple[int, int]) -> Candidates:
        skipped = max(0, self._first_label - regions.first_label)  # columns of labels that are no class
        table = regions.scores[:, skipped:]
        scores = table.flatten()
        best = scores.topk(min(MAX_CANDIDATES, int((scores >= SCORE_FLOOR).sum()))).indices
        columns = table.shape[1]
        labels = best % columns + regions.first_label + skipped
        boxes = clip_boxes_to_image(regions.decode(best // columns, labels), size)
        kept = remove_small_boxes(boxes, _SMALLEST_SIDE)
        class_ids = labels[kept] - self._first_label
        return Candidates(boxes[kept].cpu(), scores[best[kept]].cpu(), class_ids.cpu())
