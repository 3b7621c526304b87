"""Chooses what an explanation is about from the predictions of a network: a class of pixels, or a candidate box."""

from typing import Final

import torch
from torch import Tensor

from models.detection.selection import are_boxes, iou
from models.errors import CannotExplain

LEAST_IOU: Final = 0.3
"""Of a given box and the network's candidate. The fast network in reduced precision answers with almost the same boxes;
an IoU below this is another object."""
LEAST_SCORE: Final = 0.05
"""Of a candidate that may be a given box: with none, some candidate of a detector's thousands lies everywhere."""
_NEARLY_EQUAL: Final = 0.02
"""Difference of IoUs below which candidates are of one object; the one with the best score is taken."""


def chosen_class(logits: Tensor, class_id: int | None) -> tuple[int, Tensor]:
    """Chooses the class of pixels that is explained, and the pixels where it is.

    Args:
        logits: (C, H, W) of a semantic segmenter; class 0 is the background.
        class_id: The class; None: the one with the most pixels, or without any the most probable, but for the
            background.

    Returns:
        The class, and (H, W) bool: the pixels that it wins, or all where it wins none.
    """
    winners = logits.argmax(0)
    if class_id is None:
        counts = torch.bincount(winners.flatten(), minlength=len(logits))
        totals = counts if counts[1:].any() else logits.mean((1, 2))
        class_id = 1 + int(totals[1:].argmax())
    where = winners == class_id
    return class_id, where if where.any() else torch.ones_like(where)


def best_candidate(boxes: Tensor, scores: Tensor, box: Tensor | None) -> tuple[int, float]:
    """Chooses the candidate that is explained.

    Args:
        boxes: (K, 4) in pixels of the network's input; at least one. Those that are not finite or have no area are
            never preferred.
        scores: (K,) in [0, 1].
        box: (4,) that is looked for; None: the candidate with the best score.

    Returns:
        Its index, and its rank: its score, or its IoU with the given box, 0 below `LEAST_SCORE`. Of candidates that
        overlap the given box almost alike it is the one with the best score.
    """
    ranks = scores if box is None else iou(box[None], boxes)[0] * (scores >= LEAST_SCORE)
    ranks = ranks.where(are_boxes(boxes), torch.zeros(()))
    if box is None:
        index = int(ranks.argmax())
    else:
        alike = (ranks > 0) & (ranks >= ranks.max() - _NEARLY_EQUAL)
        index = int((scores * alike).argmax())
    return index, float(ranks[index])


def require_found(iou_of_best: float) -> None:
    """Raises `CannotExplain` where the best candidate for a given box is another object."""
    if iou_of_best < LEAST_IOU:
        message = "the network in float32, which is explained, does not find this box: ask for another one"
        raise CannotExplain(message, "box")
