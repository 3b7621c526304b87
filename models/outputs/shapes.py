"""Checks and orders the outputs of a network: an exporter may return the tensors of a layout in another order."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def shapes_of(outputs: Sequence[Tensor]) -> str:
    """Lists shapes for an error message."""
    return ", ".join(f"({', '.join(map(str, output.shape))})" for output in outputs)


def one(outputs: Sequence[Tensor], fits: Callable[[Tensor], bool], expected: str) -> Tensor:
    """Finds the tensor that a layout of a single output is about; a network may have auxiliary outputs beside it.

    Args:
        outputs: Of the network.
        fits: Whether a tensor may be the one.
        expected: Its shape, for the message.

    Returns:
        The first one that fits.

    Raises:
        ValueError: None does.
    """
    for output in outputs:
        if fits(output):
            return output
    raise ValueError(f"the network returns {shapes_of(outputs)}, and this layout needs {expected}")


def labels_and_scores(outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Tells the class ids of detections from their scores.

    Args:
        outputs: The two tensors, of the same shape.

    Returns:
        The class ids, int64, and the scores, float32: by their types, where one holds integers; else the one with
        fractions is the scores; else they are in this order.

    Raises:
        ValueError: There are not two.
    """
    if len(outputs) != 2:
        raise ValueError(f"this layout has one output of class ids and one of scores, not {len(outputs)} such outputs")
    first, second = outputs
    turned = second.dtype in _INTEGERS if first.dtype not in _INTEGERS else False
    if first.is_floating_point() and second.is_floating_point():
        turned = bool((first != first.round()).any()) and not bool((second != second.round()).any())
    labels, scores = (second, first) if turned else (first, second)
    return labels.long(), scores.float()


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)
