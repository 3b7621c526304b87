"""What an explanation is about: a number of the network's outputs for one image that can be differentiated.

classifier          the logit of a class
detector, instance  the score of a candidate of a class, before NMS
semantic segmenter  the mean logit of a class over the pixels that it wins, or over all where it wins none
                    (Vinogradova 2020, Seg-Grad-CAM, arXiv:2002.11434)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.adapter import Adapter
from models.classification.classifier import Classifier
from models.detection.detector import Detector
from models.detection.grid import boxes_of, cells, flatten
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.detection.yolov1 import YoloV1, read
from models.detection.yolox import Yolox
from models.errors import CannotExplain
from models.explaining.plain_model import PlainModel, PlainNetwork
from models.explaining.subject_choice import best_candidate, chosen_class, require_found
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.mask_rcnn_regions import MaskRcnnRegions

Outputs = tuple[Tensor, ...]
Value = Callable[[Outputs], Tensor]
"""From the outputs of the network for one image to a number, (1,)."""
_Candidates = tuple[Tensor, Tensor]
"""Boxes (K, 4) in pixels of the network's input, and scores (K,) of one class."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is explained.

    Attributes:
        class_id: Its class.
        score: Of the network, in [0, 1].
        box: (4,) float32, x_min, y_min, x_max, y_max in pixels of the network's input; None where there are none.
        value: What is differentiated.
    """

    class_id: int
    score: float
    box: Tensor | None
    value: Value


def find_subject(
    model: PlainModel, outputs: Outputs, size: tuple[int, int], class_id: int | None, box: Tensor | None
) -> Subject:
    """Finds what is explained in the outputs for one image.

    Args:
        model: The model.
        outputs: Of its network, for one image.
        size: (height, width) of the network's input in pixels.
        class_id: The class; None: the best one.
        box: (4,) float32, of a detector, in pixels of the network's input; None: the best one of the class.

    Raises:
        CannotExplain: The outputs cannot be differentiated, or the network has no such box.
    """
    adapter, network = model.adapter, model.network
    if isinstance(adapter, Classifier):
        return _class_of_image(outputs, adapter, class_id)
    if isinstance(adapter, Detector | InstanceSegmenter):
        return _box_of_image(_reader(adapter, network, size), outputs, adapter, class_id, box)
    return _class_of_pixels(outputs, adapter, class_id)


def not_differentiable(name: str) -> CannotExplain:
    """The error for a model whose scores have no gradient here."""
    message = f"the scores of {name} cannot be differentiated here: ask for method=occlusion"
    return CannotExplain(message, "method", ("occlusion",))


def _class_of_image(outputs: Outputs, adapter: Adapter[Any, Any], class_id: int | None) -> Subject:
    logits = outputs[0].flatten(1)
    if len(outputs) != 1 or logits.shape[1] != len(adapter.class_names):
        raise not_differentiable(adapter.entry.name)
    likely = logits.detach()[0].softmax(0)
    chosen = int(likely.argmax()) if class_id is None else class_id
    return Subject(chosen, float(likely[chosen]), None, lambda found: found[0].flatten(1)[:, chosen])


def _class_of_pixels(outputs: Outputs, adapter: Adapter[Any, Any], class_id: int | None) -> Subject:
    logits = outputs[0].detach()
    if len(outputs) != 1 or logits.ndim != 4 or logits.shape[1] != len(adapter.class_names):
        raise not_differentiable(adapter.entry.name)
    chosen, where = chosen_class(logits[0], class_id)
    score = float(logits[0].softmax(0)[chosen][where].mean())
    return Subject(chosen, score, None, lambda found: found[0][:, chosen][:, where].mean(1))


_Read = Callable[[Sequence[Tensor], int], _Candidates]


def _reader(adapter: Detector | InstanceSegmenter, network: PlainNetwork, size: tuple[int, int]) -> _Read:
    """Reads the candidates of a class from the outputs."""
    part: Any = adapter.network
    if isinstance(part, MaskRcnnRegions):
        part = part.boxes
    if isinstance(network.modules, Yolox):
        return _yolox
    if isinstance(network.modules, YoloV1):
        boxes_per_cell = network.modules.boxes_per_cell
        return lambda outputs, class_id: _yolov1(outputs, class_id, boxes_per_cell)
    if isinstance(part, TorchvisionCandidates):
        boxes: TorchvisionCandidates = part

        def read_regions(outputs: Sequence[Tensor], class_id: int) -> _Candidates:
            (regions,) = boxes.regions(outputs, 1, size)
            return boxes.scores_of(regions, class_id)

        return read_regions
    raise not_differentiable(adapter.entry.name)


def _yolox(outputs: Sequence[Tensor], class_id: int) -> _Candidates:
    raw = flatten(outputs)[0]
    return boxes_of(raw, cells(outputs)), raw[:, 4].sigmoid() * raw[:, 5 + class_id].sigmoid()


def _yolov1(outputs: Sequence[Tensor], class_id: int, boxes_per_cell: int) -> _Candidates:
    predictions = read(outputs[0], boxes_per_cell)
    scores = predictions.confidences * predictions.classes[..., None, class_id]
    return predictions.boxes.flatten(0, -2), scores.flatten()


def _box_of_image(
    read_candidates: _Read, outputs: Outputs, adapter: Adapter[Any, Any], class_id: int | None, box: Tensor | None
) -> Subject:
    with torch.no_grad():
        classes = range(len(adapter.class_names)) if class_id is None else (class_id,)
        best = max((_best(read_candidates(outputs, each), each, box) for each in classes), key=lambda found: found.rank)
    if box is not None:
        require_found(best.rank)
    index, chosen = best.index, best.class_id
    value: Value = lambda found: read_candidates(found, chosen)[1][index : index + 1]  # noqa: E731
    return Subject(chosen, min(1.0, max(0.0, best.score)), best.box, value)


@dataclass(frozen=True, eq=False)
class _Best:
    """The best candidate of a class; its rank is its score, or its IoU with the given box."""

    index: int
    class_id: int
    rank: float
    score: float
    box: Tensor


def _best(candidates: _Candidates, class_id: int, box: Tensor | None) -> _Best:
    boxes, scores = (each.detach() for each in candidates)
    index, rank = best_candidate(boxes, scores, box)
    return _Best(index, class_id, rank, float(scores[index]), boxes[index])
