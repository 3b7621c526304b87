"""Decodes the boxes of one-stage networks: YOLOv5, YOLOv8 and their successors, YOLOX."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from models.detection.candidates import SCORE_FLOOR, Candidates
from models.detection.grid import boxes_of, cells
from models.detection.yolox import STRIDES
from models.detection.yolox_candidates import candidates_from as decode_levels
from models.outputs.ranked import best, candidates_from, corners, rows_at
from models.outputs.shapes import one, shapes_of

_BOX_AND_OBJECTNESS = 5


def anchor_count(size: tuple[int, int], anchors_per_cell: int = 1) -> int:
    """Counts the rows of a network with strides 8, 16 and 32, of an input of a (height, width) in pixels."""
    return anchors_per_cell * sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES)


def decode_yolov5(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes (N, A, 5 + C): box in pixels, objectness and class probabilities; see `models.outputs.layouts.Decode`."""
    raw = _rows(outputs, class_count)
    scores = raw[..., 4] * raw[..., _BOX_AND_OBJECTNESS:].amax(2)
    rows = best(scores)
    likely = rows_at(raw, rows)
    return candidates_from(
        corners(likely), scores.gather(1, rows), likely[..., _BOX_AND_OBJECTNESS:].argmax(2), class_count
    )


def decode_yolox(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes (N, A, 5 + C): box in cells, objectness and class probabilities; see `models.outputs.layouts.Decode`.

    The official export applies the sigmoid to objectness and classes and leaves the boxes as the grid has them
    (https://github.com/Megvii-BaseDetection/YOLOX/tree/main/demo/ONNXRuntime).
    """
    raw = _rows(outputs, class_count)
    if raw.shape[1] != anchor_count(size):
        expected = f"{anchor_count(size)} rows for an input of {size[0]} x {size[1]} pixels"
        raise ValueError(f"the network returns {raw.shape[1]} rows, and this layout needs {expected}")
    scores = raw[..., 4] * raw[..., _BOX_AND_OBJECTNESS:].amax(2)
    rows = best(scores)
    likely = rows_at(raw, rows)
    boxes = boxes_of(likely, _cells(size).to(raw.device)[rows])
    return candidates_from(boxes, scores.gather(1, rows), likely[..., _BOX_AND_OBJECTNESS:].argmax(2), class_count)


def decode_yolox_maps(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes three raw maps (N, 5 + C, H / stride, W / stride) of YOLOX; see `models.outputs.layouts.Decode`."""
    maps = [output for output in outputs if output.ndim == 4 and output.shape[1] == _BOX_AND_OBJECTNESS + class_count]
    levels = sorted(maps, key=lambda level: level.shape[2], reverse=True)
    if [level.shape[2] for level in levels] != [size[0] // stride for stride in STRIDES]:
        expected = f"(N, {_BOX_AND_OBJECTNESS + class_count}, h, w) for each of the strides 8, 16 and 32"
        raise ValueError(f"the network returns {shapes_of(outputs)}, and this layout needs {expected}")
    return decode_levels(levels)


def decode_yolov8(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes (N, 4 + C, A): box in pixels and class probabilities; see `models.outputs.layouts.Decode`."""
    width = 4 + class_count
    raw = one(outputs, lambda output: output.ndim == 3 and output.shape[1] == width, f"(N, {width}, A)")
    return [candidates for candidates, _ in likely_columns(raw, class_count)]


def likely_columns(raw: Tensor, class_count: int) -> Iterator[tuple[Candidates, Tensor]]:
    """Decodes the columns of YOLOv8 above the score floor.

    Args:
        raw: (N, 4 + class_count + D, A).
        class_count: Of the model.

    Returns:
        For each of the N images its candidates, of each column only the most probable class, and the other D numbers of
        them, (K, D) on the CPU.
    """
    classes = raw[:, 4 : 4 + class_count]
    rows = best(classes.amax(1))
    likely = raw.gather(2, rows[:, None].expand(-1, raw.shape[1], -1)).transpose(1, 2)
    scores, class_ids = likely[..., 4 : 4 + class_count].max(2)
    others = likely[..., 4 + class_count :].float().cpu()
    every = candidates_from(corners(likely), scores, class_ids, class_count)
    for candidates, its_scores, its_others in zip(every, scores.float().cpu(), others, strict=True):
        yield candidates, its_others[its_scores >= SCORE_FLOOR]


def decode_end_to_end(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[Candidates]:
    """Decodes (N, K, 6): corners in pixels, score and class id; see `models.outputs.layouts.Decode`."""
    raw = one(outputs, lambda output: output.ndim == 3 and output.shape[2] == 6, "(N, K, 6)")
    return candidates_from(raw[..., :4], raw[..., 4], raw[..., 5], class_count)


def _rows(outputs: Sequence[Tensor], class_count: int) -> Tensor:
    width = _BOX_AND_OBJECTNESS + class_count
    return one(outputs, lambda output: output.ndim == 3 and output.shape[2] == width, f"(N, A, {width})")


@lru_cache(maxsize=16)
def _cells(size: tuple[int, int]) -> Tensor:
    """(A, 3) column and row of each cell, and its stride; level by level, row by row."""
    levels = [torch.empty(1, 0, size[0] // stride, size[1] // stride) for stride in STRIDES]
    return cells(levels)
