"""Slow decoding of boxes, one row at a time, to compare the decoders with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Row = tuple[float, float, float, float, float, int]
"""x_min, y_min, x_max, y_max in pixels, score, class id."""

FLOOR = 0.001


def corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def softmax(logits: list[float]) -> list[float]:
    shares = [math.exp(logit - max(logits)) for logit in logits]
    return [share / sum(shares) for share in shares]


def best(scores: list[float]) -> tuple[float, int]:
    class_id = max(range(len(scores)), key=lambda index: scores[index])
    return scores[class_id], class_id


def yolov5(image: NDArray[np.float32]) -> list[Row]:
    found: list[Row] = []
    for row in image.tolist():
        score, class_id = best(row[5:])
        found.append((*corners(*row[:4]), row[4] * score, class_id))
    return found


def yolov8(image: NDArray[np.float32]) -> list[Row]:
    return [(*corners(*column[:4]), *best(column[4:])) for column in image.T.tolist()]


def yolox(image: NDArray[np.float32], size: tuple[int, int]) -> list[Row]:
    rows = iter(image.tolist())
    found: list[Row] = []
    for stride in (8, 16, 32):
        for top in range(size[0] // stride):
            for left in range(size[1] // stride):
                x, y, width, height, objectness, *classes = next(rows)
                box = corners(
                    (x + left) * stride, (y + top) * stride, math.exp(width) * stride, math.exp(height) * stride
                )
                score, class_id = best(classes)
                found.append((*box, objectness * score, class_id))
    return found


def relative(box: list[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    x_min, y_min, x_max, y_max = corners(*box)
    return x_min * size[1], y_min * size[0], x_max * size[1], y_max * size[0]


def detr(logits: NDArray[np.float32], boxes: NDArray[np.float32], size: tuple[int, int]) -> list[Row]:
    return [
        (*relative(box, size), *best(softmax(row)[:-1]))
        for row, box in zip(logits.tolist(), boxes.tolist(), strict=True)
    ]


def rt_detr(logits: NDArray[np.float32], boxes: NDArray[np.float32], size: tuple[int, int]) -> list[Row]:
    return [
        (*relative(box, size), sigmoid(logit), class_id)
        for row, box in zip(logits.tolist(), boxes.tolist(), strict=True)
        for class_id, logit in enumerate(row)
    ]


def ranked(rows: list[Row], most: int = 1000) -> NDArray[np.float64]:
    """Those above the score floor, the best first, as (K, 6)."""
    kept = sorted((row for row in rows if row[4] >= FLOOR), key=lambda row: -row[4])[:most]
    return np.array(kept, np.float64).reshape(-1, 6)
