"""Decodes boxes that the network itself has filtered.

These are the outputs of torchvision's detectors, of RT-DETR with its postprocessing, of MMDeploy and of TensorRT's
EfficientNMS.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.detection.candidates import Candidates
from models.outputs.ranked import candidates_from, limited
from models.outputs.shapes import labels_and_scores, one, shapes_of


def decode_torchvision(
    outputs: Sequence[Tensor], size: tuple[int, int], class_count: int, first_label: int = 1
) -> list[Candidates]:
    """Decodes boxes (K, 4) in pixels, labels (K) and scores (K) of one image; see `models.outputs.layouts.Decode`.

    Args:
        outputs: In any order.
        size: Not used.
        class_count: Of the model.
        first_label: The label of class id 0: 1 where the class names do not count the background, else 0.
    """
    return [limited(finished_objects(outputs, first_label), class_count)]


def finished_objects(outputs: Sequence[Tensor], first_label: int) -> Candidates:
    """Reads the boxes, labels and scores of one image, see `decode_torchvision`; those of no area are kept.

    Raises:
        ValueError: There are no such tensors, or they are not of the same length.
    """
    boxes = one(outputs, lambda output: output.ndim == 2 and output.shape[1] == 4, "boxes (K, 4)")
    labels, scores = labels_and_scores([output for output in outputs if output.ndim == 1])
    if not len(boxes) == len(labels) == len(scores):
        raise ValueError(f"the network returns {shapes_of(outputs)}, and this layout needs tensors of one length")
    return Candidates(boxes.float().cpu(), scores.cpu(), labels.cpu() - first_label)


def decode_labels_boxes_scores(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes labels (N, Q), boxes (N, Q, 4) in pixels and scores (N, Q); see `models.outputs.layouts.Decode`."""
    boxes = one(outputs, lambda output: output.ndim == 3 and output.shape[2] == 4, "boxes (N, Q, 4)")
    labels, scores = labels_and_scores([output for output in outputs if output.shape == boxes.shape[:2]])
    return candidates_from(boxes, scores, labels, class_count)


def decode_mmdeploy(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes boxes with scores (N, K, 5) in pixels and class ids (N, K); see `models.outputs.layouts.Decode`."""
    raw = one(outputs, lambda output: output.ndim == 3 and output.shape[2] == 5, "boxes with scores (N, K, 5)")
    labels = one(outputs, lambda output: output.shape == raw.shape[:2], "class ids (N, K)")
    return candidates_from(raw[..., :4], raw[..., 4], labels, class_count)


def decode_efficient_nms(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes the number of detections (N, 1), boxes (N, M, 4) in pixels, scores (N, M) and classes (N, M).

    See `models.outputs.layouts.Decode`, and the plug-in's page
    (https://github.com/NVIDIA/TensorRT/tree/main/plugin/efficientNMSPlugin).
    """
    boxes = one(outputs, lambda output: output.ndim == 3 and output.shape[2] == 4, "boxes (N, M, 4)")
    counts = one(outputs, lambda output: output.shape in ((len(boxes), 1), (len(boxes),)), "num_detections (N, 1)")
    others = [output for output in outputs if output is not counts and output.shape == boxes.shape[:2]]
    labels, scores = labels_and_scores(others)
    places = torch.arange(boxes.shape[1], device=boxes.device)
    given = places < counts.reshape(-1, 1)
    return candidates_from(boxes, scores.where(given, -1.0), labels, class_count)
