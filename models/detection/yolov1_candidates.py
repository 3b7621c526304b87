"""Converts the output grid of YOLOv1 to candidates."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.detection.candidates import MAX_CANDIDATES, SCORE_FLOOR, Candidates
from models.detection.yolov1 import YoloV1, read
from models.entries import LetterboxPreprocessing
from models.execution.executor import executor_for
from models.runtime import Runtime


class YoloV1Candidates:
    """YOLOv1 as a `models.detection.candidates.CandidateNetwork`.

    Args:
        network: A float32 network in evaluation mode; it is not changed.
        preprocessing: Of the model.
        runtime: A resolved runtime.

    Raises:
        ValueError: The preprocessing makes images that are too large for the network.
    """

    def __init__(self, network: YoloV1, preprocessing: LetterboxPreprocessing, runtime: Runtime) -> None:
        side = network.fixed_side
        if side is not None and max(preprocessing.largest_size) > side:
            raise ValueError(f"this network takes images of at most {side} pixels, not {preprocessing.long_side}")
        self._executor = executor_for(network, preprocessing, runtime)
        self._boxes_per_cell = network.boxes_per_cell

    def candidates(self, pixels: NDArray[np.uint8]) -> list[Candidates]:
        """See `models.detection.candidates.CandidateNetwork.candidates`."""
        return candidates_from(self._executor.run(pixels), self._boxes_per_cell)


@torch.inference_mode()
def candidates_from(raw: Tensor, boxes_per_cell: int) -> list[Candidates]:
    """Decodes the grids of a batch.

    A box's score for a class is its confidence times the cell's probability of that class (section 2, equation 1).

    Args:
        raw: Output of `models.detection.yolov1.YoloV1` for N images.
        boxes_per_cell: The network's.

    Returns:
        N; a box may occur once for each class.
    """
    predictions = read(raw, boxes_per_cell)
    scores = predictions.confidences.clamp(0, 1)[..., None] * predictions.classes.clamp(0, 1)[..., None, :]
    boxes = predictions.boxes.flatten(1, 3).cpu()
    return [_best(*image) for image in zip(boxes, scores.flatten(1, 3).cpu(), strict=True)]


def _best(boxes: Tensor, scores: Tensor) -> Candidates:
    """The best pairs of box and class, of (K, 4) boxes and (K, class_count) scores."""
    flat = scores.flatten()
    best = flat.topk(min(MAX_CANDIDATES, int((flat >= SCORE_FLOOR).sum()))).indices
    return Candidates(boxes[best // scores.shape[1]], flat[best], best % scores.shape[1])
