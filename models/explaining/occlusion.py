"""Heat maps from occlusion: by how much a score falls where a part of the image is covered (Zeiler 2014).

A grey square slides over the network's input. It works for every model, for only its predictions are read: of a
classifier the probability of the class; of a detector the similarity of the box with the best predicted one, IoU times
score, as in D-RISE (Petsiuk 2021, arXiv:2006.03204); of a semantic segmenter the mean probability of the class where it
wins in the whole image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from models.adapter import Adapter, ModelInput
from models.classification.classifier import Classifier
from models.detection.candidates import Candidates
from models.detection.detector import Detector
from models.detection.selection import are_boxes, iou
from models.errors import CannotExplain
from models.explaining.captum_library import occlusion
from models.explaining.subject_choice import best_candidate, chosen_class, require_found
from models.segmentation.instances import InstanceSegmenter

CELLS: Final = 10
"""Steps of the square along the longer side of the input; it covers two of them in each direction. So a square image
is predicted 81 times."""
_BATCH_PIXELS: Final = 2**19
"""Pixels of the inputs that run as one batch: ten of 224 x 224."""

_Score = Callable[[Sequence[ModelInput]], Tensor]
"""From N inputs to (N,) float32."""


@dataclass(frozen=True, eq=False)
class Occluded:
    """The heat map of occlusion, and what it explains.

    Attributes:
        heat: (h, w) float32, at least 0; not scaled. It covers the whole input.
        class_id: The class.
        score: Of the model for the whole image, in [0, 1].
        box: (4,) float32 in pixels of the network's input; None where there are none.
    """

    heat: Tensor
    class_id: int
    score: float
    box: Tensor | None


@dataclass(frozen=True, eq=False)
class _Subject:
    class_id: int
    score: float
    box: Tensor | None
    measure: _Score


def occlude(
    adapter: Adapter[Any, Any],
    given: ModelInput,
    class_id: int | None,
    box: Tensor | None,
    check: Callable[[], None],
) -> Occluded:
    """Computes the heat map.

    Args:
        adapter: The model.
        given: The image.
        class_id: The class; None: the best one.
        box: (4,) float32 of a detector, in pixels of the network's input; None: the best one of the class.
        check: Called before each batch; it raises where there is no time left.

    Raises:
        CannotExplain: The model has no such box.
    """
    subject = _find(adapter, given, class_id, box)
    height, width = given.pixels.shape[:2]
    longest = max(height, width)
    grid = max(1, round(CELLS * height / longest)), max(1, round(CELLS * width / longest))
    step = -(-height // grid[0]), -(-width // grid[1])
    side = min(2 * step[0], height), min(2 * step[1], width)
    grey = int(np.mean(adapter.entry.image_preprocessing.mean))

    def forward(pixels: Tensor) -> Tensor:
        check()
        batch = pixels.round().clamp(0, 255).to(torch.uint8).numpy()
        return subject.measure([ModelInput(np.ascontiguousarray(each), given.image_size) for each in batch])

    drop: Tensor = occlusion(forward).attribute(
        torch.as_tensor(given.pixels.astype(np.float32))[None],
        sliding_window_shapes=(*side, 3),
        strides=(*step, 3),
        baselines=grey,
        perturbations_per_eval=max(1, _BATCH_PIXELS // (height * width)),
    )
    return Occluded(_cells(drop[0, :, :, 0], grid), subject.class_id, subject.score, subject.box)


def _cells(drop: Tensor, grid: tuple[int, int]) -> Tensor:
    """(H, W) by pixel to (h, w) by cell: the mean of each, at least 0."""
    (height, width), (rows, columns) = drop.shape, grid
    index = (torch.arange(height) * rows // height)[:, None] * columns + torch.arange(width) * columns // width
    sums = torch.zeros(rows * columns).index_add_(0, index.flatten(), drop.flatten().float())
    counts = torch.bincount(index.flatten(), minlength=rows * columns)
    return (sums / counts).view(rows, columns).clamp(min=0)


def _find(adapter: Adapter[Any, Any], given: ModelInput, class_id: int | None, box: Tensor | None) -> _Subject:
    if isinstance(adapter, Classifier):
        return _class_of_image(adapter, given, class_id)
    if isinstance(adapter, Detector | InstanceSegmenter):
        return _box_of_image(adapter, given, class_id, box)
    return _class_of_pixels(adapter, given, class_id)


def _class_of_image(adapter: Classifier, given: ModelInput, class_id: int | None) -> _Subject:
    likely = adapter.forward([given])[0]
    chosen = int(likely.argmax()) if class_id is None else class_id
    return _Subject(
        chosen, float(likely[chosen]), None, lambda inputs: torch.as_tensor(adapter.forward(inputs)[:, chosen].copy())
    )


def _class_of_pixels(adapter: Adapter[Any, Any], given: ModelInput, class_id: int | None) -> _Subject:
    (logits,) = adapter.forward([given])
    chosen, where = chosen_class(logits, class_id)

    def measure(inputs: Sequence[ModelInput]) -> Tensor:
        return torch.stack([each.softmax(0)[chosen][where].mean() for each in adapter.forward(inputs)]).cpu()

    return _Subject(chosen, float(measure([given])), None, measure)


def _box_of_image(
    adapter: Detector | InstanceSegmenter, given: ModelInput, class_id: int | None, box: Tensor | None
) -> _Subject:
    (found,) = _candidates(adapter, [given])
    found = found[are_boxes(found.boxes)]
    if class_id is not None:
        found = found[found.class_ids == class_id]
    if not len(found):
        raise CannotExplain("the model finds no object of this class in the image", "class")
    best, rank = best_candidate(found.boxes, found.scores, box)
    if box is not None:
        require_found(rank)
    chosen, target = int(found.class_ids[best]), found.boxes[best]

    def measure(inputs: Sequence[ModelInput]) -> Tensor:
        return torch.stack([_similarity(each, target, chosen) for each in _candidates(adapter, inputs)])

    return _Subject(chosen, float(found.scores[best]), target, measure)


def _candidates(adapter: Detector | InstanceSegmenter, inputs: Sequence[ModelInput]) -> list[Candidates]:
    if isinstance(adapter, Detector):
        return adapter.forward(inputs)
    return [each.objects for each in adapter.forward(inputs)]


def _similarity(found: Candidates, box: Tensor, class_id: int) -> Tensor:
    of_class = found[found.class_ids == class_id]
    if not len(of_class):
        return torch.zeros(())
    return (iou(box[None], of_class.boxes)[0] * of_class.scores).max()
