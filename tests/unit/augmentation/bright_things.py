"""Detectors and segmenters that find the white boxes of black scenes, without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models.augmentation.augmented import Augmented
from models.augmentation.choice import augmented
from models.detection.candidates import Candidates
from models.detection.detector import Detector
from models.entries import CatalogEntry, LetterboxPreprocessing
from models.execution.executor import executor_for
from models.runtime import Runtime
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.mask_rcnn_regions import RegionMasks
from models.segmentation.semantic import SemanticSegmenter
from tests.photos import encoded
from tests.unit.fake_entries import fake_entry

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
LETTERBOX = LetterboxPreprocessing(128, 128, ZERO, ONE)
TORCH = Runtime(precision="fp32", backend="torch").resolve()
Score = Callable[[np.ndarray], float]
"""From the pixels of an input to the score of its object."""


def entry(task: str, names: tuple[str, ...], preprocessing: LetterboxPreprocessing, flip: float | None) -> CatalogEntry:
    segmentation = {"instance": "instance", "semantic": "semantic"}.get(task)
    training = {} if flip is None else {"augmentation": {"flip": flip}}
    task = "segmentation" if segmentation else task
    return fake_entry(task, preprocessing, names, segmentation=segmentation, training=training)


def box_of(image: np.ndarray) -> list[float] | None:
    rows, columns = np.nonzero(image.min(2) > 180)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else None


class BrightThings:
    """A candidate network and a network of masks at once: one object, as large as what is white."""

    def __init__(self, score: Score = lambda image: 0.8) -> None:
        self.score = score
        self.shapes: list[tuple[int, ...]] = []

    def candidates(self, pixels: np.ndarray) -> list[Candidates]:
        self.shapes.append(pixels.shape)
        return [self._found(image) for image in pixels]

    def region_masks(self, pixels: np.ndarray) -> list[RegionMasks]:
        """An upright triangle: the lower left half of the box."""
        self.shapes.append(pixels.shape)
        return [RegionMasks(self._found(image), self._triangles(image)) for image in pixels]

    def masks_in(self, pixels: np.ndarray, boxes: Tensor, class_ids: Tensor) -> Tensor:
        raise NotImplementedError

    def _found(self, image: np.ndarray) -> Candidates:
        box = box_of(image)
        if box is None:
            return Candidates.none()
        return Candidates(torch.tensor([box]).float(), torch.tensor([self.score(image)]), torch.tensor([0]))

    def _triangles(self, image: np.ndarray) -> Callable[[Tensor], Tensor]:
        """The half below the diagonal that starts at the red corner, which is on the other side in a mirror image."""
        cells = torch.tril(torch.ones(28, 28))
        reds = np.nonzero((image[..., 0] > 180) & (image[..., 1] < 60))[1]
        box = box_of(image)
        if box is not None and len(reds) and reds.mean() > (box[0] + box[2]) / 2:
            cells = cells.flip(1)
        return lambda wanted: cells.repeat(len(wanted), 1, 1)


class BrightPixels(nn.Module):
    """Class 1 where an image is bright."""

    def forward(self, images: Tensor) -> Tensor:
        above = images.mean(1, keepdim=True) / 255 - 0.5
        return torch.cat([-4 * above, 4 * above], 1)


def detector(network: BrightThings, preprocessing: LetterboxPreprocessing = LETTERBOX, **options: object) -> Detector:
    flip = options.get("flip")
    described = entry("detection", ("bright",), preprocessing, flip)  # type: ignore[arg-type]
    return Detector(described, ("bright",), TORCH, network, "0" * 64)


def instance_segmenter(network: BrightThings) -> InstanceSegmenter:
    return InstanceSegmenter(entry("instance", ("bright",), LETTERBOX, None), ("bright",), TORCH, network, "0" * 64)


def semantic_segmenter(
    network: nn.Module | None = None, preprocessing: LetterboxPreprocessing = LETTERBOX
) -> SemanticSegmenter:
    names = ("background", "bright")
    executor = executor_for((network or BrightPixels()).eval(), preprocessing, TORCH)
    return SemanticSegmenter(entry("semantic", names, preprocessing, None), names, TORCH, executor, "0" * 64)


def with_views(adapter: Any) -> Augmented[Any, Any]:
    made = augmented(adapter)
    assert made is not None
    return made


def scene(height: int, width: int, *boxes: Sequence[int], red: tuple[int, int] | None = None) -> bytes:
    """A PNG: black, with white boxes, and maybe a red spot of 8 x 8 pixels at (x, y)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = 255
    if red is not None:
        pixels[red[1] : red[1] + 8, red[0] : red[0] + 8] = (255, 0, 0)
    return encoded(Image.fromarray(pixels), "PNG")
