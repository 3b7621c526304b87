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
from models.detection.proposals import CROP_SIDE, CROPS_PER_PASS, cut_out, place_in_crop
from models.detection.torchvision_stages import OneStage, Regions, TorchvisionDetector, TwoStages, multiple_of
from models.entries import LetterboxPreprocessing
from models.execution.executor import executor_for
from models.parameters import Family
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
        self._pad = preprocessing.pad

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
        return self.decoded(self._executor.run_all(pixels), len(pixels), size)

    @torch.inference_mode()
    def decoded(
        self, outputs: Sequence[Tensor], count: int, size: tuple[int, int]
    ) -> Iterator[tuple[Candidates, Regions]]:
        """As `with_regions`, from outputs of the trunk; the arguments are those of `regions`."""
        for regions in self.regions(outputs, count, size):
            yield self._candidates(regions, size), regions

    @property
    def takes_proposals(self) -> bool:
        """Whether the network has two stages."""
        return isinstance(self._stages, TwoStages)

    @property
    def region_head(self) -> tuple[nn.Module, tuple[int, int, int]] | None:
        """See `TwoStages.region_head`; None where there is one stage."""
        return self._stages.region_head if isinstance(self._stages, TwoStages) else None

    @torch.inference_mode()
    def proposed(self, pixels: NDArray[np.uint8], proposals: Sequence[Tensor], family: Family) -> list[Candidates]:
        """Classifies and refines given proposals, instead of those of the RPN.

        Args:
            pixels: As for `candidates`.
            proposals: (K, 4) float32 for each of the N images, in pixels of the network's input.
            family: `fast-rcnn` pools them from the feature maps of the image, `rcnn` runs the network on a crop of
                each.

        Returns:
            As `candidates`.
        """
        assert isinstance(self._stages, TwoStages)
        size = (pixels.shape[1], pixels.shape[2])
        if family == "fast-rcnn":
            found = self._stages.regions(self._executor.run_all(pixels), self._images(len(pixels), size), proposals)
        else:
            found = (self._cropped(self._stages, *image) for image in zip(pixels, proposals, strict=True))
        return [self._candidates(regions, size) for regions in found]

    @torch.inference_mode()
    def with_proposals(self, pixels: NDArray[np.uint8], count: int) -> list[Candidates]:
        """Faster R-CNN with another number of proposals than the network has by default.

        Args:
            pixels: As for `candidates`.
            count: The most proposals of the RPN in an image.

        Returns:
            As `candidates`.
        """
        assert isinstance(self._stages, TwoStages)
        size = (pixels.shape[1], pixels.shape[2])
        outputs, images = self._executor.run_all(pixels), self._images(len(pixels), size)
        proposals = self._stages.proposals(outputs, images, count)
        return [self._candidates(regions, size) for regions in self._stages.regions(outputs, images, proposals)]

    @torch.inference_mode()
    def own_proposals(self, pixels: NDArray[np.uint8], count: int | None = None) -> list[Tensor]:
        """The proposals of the RPN, which `candidates` classifies.

        Args:
            pixels: As for `candidates`.
            count: The most of them; as many as the network has by default where None.

        Returns:
            (P, 4) float32 for each image, on the CPU, in pixels of the network's input, by descending objectness.
        """
        assert isinstance(self._stages, TwoStages)
        images = self._images(len(pixels), (pixels.shape[1], pixels.shape[2]))
        found = self._stages.proposals(self._executor.run_all(pixels), images, count)
        return [boxes.cpu() for boxes in found]

    def _cropped(self, stages: TwoStages, pixels: NDArray[np.uint8], proposals: Tensor) -> Regions:
        parts: list[Regions] = []
        starts = range(0, len(proposals), CROPS_PER_PASS)
        for some in (proposals[start : start + CROPS_PER_PASS] for start in starts):
            outputs = self._executor.run_all(cut_out(pixels, some, self._pad))
            parts.append(stages.regions_of_crops(outputs, place_in_crop(), CROP_SIDE, some))
        first = parts[0]
        scores, boxes, deltas = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("scores", "boxes", "deltas")
        )
        return first._replace(scores=scores, boxes=boxes, deltas=deltas)

    def regions(self, outputs: Sequence[Tensor], count: int, size: tuple[int, int]) -> Iterator[Regions]:
        """Decodes the outputs of the trunk; the scores can be differentiated by them.

        Args:
            outputs: Of the trunk, float32.
            count: N, number of images.
            size: (height, width) of the images in pixels.

        Returns:
            N, in the same order.
        """
        return self._stages.regions(outputs, self._images(count, size))

    def _images(self, count: int, size: tuple[int, int]) -> ImageList:
        padded = (-(-side // self._multiple) * self._multiple for side in size)
        return ImageList(torch.empty(0, 3, *padded), [size] * count)

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
