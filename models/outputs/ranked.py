"""Makes candidates of the scores and boxes of a batch: only the best rows above the score floor are decoded."""

import torch
from torch import Tensor

from models.detection.candidates import MAX_CANDIDATES, SCORE_FLOOR, Candidates


def best(scores: Tensor, floor: float = SCORE_FLOOR) -> Tensor:
    """Finds the rows that are worth decoding.

    Args:
        scores: (N, A).
        floor: Rows below are not wanted.

    Returns:
        (N, K) int64: the rows with the highest scores of each image; K is at most `MAX_CANDIDATES`, and no larger than
        the image with the most rows above the floor needs, so that those of other images may be below it.
    """
    count = min(int((scores >= floor).sum(1).max()), MAX_CANDIDATES)
    return scores.topk(count, sorted=False).indices


def rows_at(tensor: Tensor, rows: Tensor) -> Tensor:
    """Selects rows of each image.

    Args:
        tensor: (N, A, D), or a view of such a shape.
        rows: (N, K) from `best`.

    Returns:
        (N, K, D).
    """
    return tensor.gather(1, rows[..., None].expand(-1, -1, tensor.shape[2]))


def corners(boxes: Tensor) -> Tensor:
    """From (..., 4) centre x, centre y, width, height to x_min, y_min, x_max, y_max."""
    centre, half = boxes[..., :2], boxes[..., 2:4] / 2
    return torch.cat([centre - half, centre + half], -1)


def in_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """From (..., 4) boxes relative to an input of a (height, width) to pixels of it."""
    height, width = size
    return boxes * boxes.new_tensor([width, height, width, height])


def candidates_from(boxes: Tensor, scores: Tensor, class_ids: Tensor, class_count: int) -> list[Candidates]:
    """Makes the candidates of a batch.

    Args:
        boxes: (N, K, 4) x_min, y_min, x_max, y_max in pixels of the input.
        scores: (N, K); those below `SCORE_FLOOR` are dropped.
        class_ids: (N, K) integers.
        class_count: Of the model.

    Returns:
        N, on the CPU, at most `MAX_CANDIDATES` each.

    Raises:
        ValueError: A class id is not in range.
    """
    found = zip(boxes.float().cpu(), scores.float().cpu(), class_ids.long().cpu(), strict=True)
    return [limited(Candidates(*parts), class_count) for parts in found]


def limited(candidates: Candidates, class_count: int) -> Candidates:
    """Drops candidates below `SCORE_FLOOR`, and all but the best `MAX_CANDIDATES`.

    Raises:
        ValueError: A class id is not in range.
    """
    kept = candidates[candidates.scores >= SCORE_FLOOR]
    if len(kept) > MAX_CANDIDATES:
        kept = kept[kept.scores.topk(MAX_CANDIDATES).indices]
    require_class_ids(kept.class_ids, class_count)
    return kept


def require_class_ids(class_ids: Tensor, class_count: int) -> None:
    """Checks that class ids are those of a model.

    Raises:
        ValueError: One is not in range.
    """
    if len(class_ids) and not 0 <= int(class_ids.min()) <= int(class_ids.max()) < class_count:
        wrong = class_ids[(class_ids < 0) | (class_ids >= class_count)][0]
        raise ValueError(f"the network returns class id {int(wrong)}, and the model has {class_count} class names")
