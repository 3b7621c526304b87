"""Decodes the queries of transformers: DETR (arXiv:2005.12872), RT-DETR (arXiv:2304.08069) and their successors.

Boxes are relative to the whole input of the network: centre x, centre y, width, height in [0, 1].
"""

from collections.abc import Sequence
from math import log
from typing import Final

from torch import Tensor

from models.detection.candidates import SCORE_FLOOR, Candidates
from models.outputs.ranked import best, candidates_from, corners, in_pixels, rows_at
from models.outputs.shapes import one, shapes_of

_FLOOR_LOGIT: Final = log(SCORE_FLOOR / (1 - SCORE_FLOOR))


def decode_detr(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes logits (N, Q, C + 1), the last of which is no object, and boxes; see `models.outputs.layouts.Decode`."""
    logits, boxes = _logits_and_boxes(outputs, class_count + 1)
    scores, class_ids = logits.softmax(2)[..., :-1].max(2)
    rows = best(scores)
    likely = in_pixels(corners(rows_at(boxes, rows)), size)
    return candidates_from(likely, scores.gather(1, rows), class_ids.gather(1, rows), class_count)


def decode_rt_detr(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes logits (N, Q, C) and boxes; see `models.outputs.layouts.Decode`.

    A query may be an object of several classes, as in the official evaluation.
    """
    logits, boxes = _logits_and_boxes(outputs, class_count)
    flat = logits.flatten(1)
    places = best(flat, _FLOOR_LOGIT)
    likely = in_pixels(corners(rows_at(boxes, places // class_count)), size)
    return candidates_from(likely, flat.gather(1, places).sigmoid(), places % class_count, class_count)


def decode_rt_detr_rows(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes (N, Q, 4 + C), a box and class probabilities; see `models.outputs.layouts.Decode`."""
    width = 4 + class_count
    raw = one(outputs, lambda output: output.ndim == 3 and output.shape[2] == width, f"(N, Q, {width})").float()
    scores = raw[..., 4:].amax(2)
    rows = best(scores)
    likely = rows_at(raw, rows)
    boxes = in_pixels(corners(likely), size)
    return candidates_from(boxes, scores.gather(1, rows), likely[..., 4:].argmax(2), class_count)


def _logits_and_boxes(outputs: Sequence[Tensor], width: int) -> tuple[Tensor, Tensor]:
    """Finds the two tensors among outputs in any order; where both have four columns, logits come first."""
    tables = [output for output in outputs if output.ndim == 3]
    for index, logits in enumerate(tables):
        others = (other for place, other in enumerate(tables) if place != index)
        boxes = next((other for other in others if other.shape == (*logits.shape[:2], 4)), None)
        if logits.shape[2] == width and boxes is not None:
            return logits.float(), boxes.float()
    expected = f"logits (N, Q, {width}) and boxes (N, Q, 4)"
    raise ValueError(f"the network returns {shapes_of(outputs)}, and this layout needs {expected}")
