"""Decodes the outputs of classifiers and semantic segmentation networks to logits."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from models.outputs.shapes import one

_SMALLEST: Final = 1e-12
"""Probabilities are at least this much before their logarithm is taken."""
_CERTAIN: Final = 50.0
"""Logit of the class of a class map; the others have 0, so that its probability is 1 in float32."""


def decode_logits(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> Tensor:
    """Decodes (N, C) to logits, without dimensions of length 1 behind; see `models.outputs.layouts.Decode`."""
    return _scores(outputs, class_count).float()


def decode_probabilities(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> Tensor:
    """Decodes probabilities (N, C) to logits whose softmax they are; see `models.outputs.layouts.Decode`."""
    return _scores(outputs, class_count).float().clamp(min=_SMALLEST).log()


def _scores(outputs: Sequence[Tensor], class_count: int) -> Tensor:
    def fits(output: Tensor) -> bool:
        return output.ndim >= 2 and output.shape[1] == class_count and output[0].numel() == class_count

    return one(outputs, fits, f"(N, {class_count})").flatten(1)


def decode_class_logits(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> Tensor:
    """Decodes (N, C, H, W) to logits; see `models.outputs.layouts.Decode`.

    With two classes also (N, 1, H, W), the logit of the second class, by a sigmoid.
    """
    logits = _maps(outputs, class_count)
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] < class_count else logits


def decode_class_probabilities(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> Tensor:
    """Decodes probabilities (N, C, H, W) to logits; see `models.outputs.layouts.Decode`.

    With two classes also (N, 1, H, W), the probability of the second class.
    """
    likely = _maps(outputs, class_count)
    every = torch.cat([1 - likely, likely], 1) if likely.shape[1] < class_count else likely
    return every.clamp(min=_SMALLEST).log()


def _maps(outputs: Sequence[Tensor], class_count: int) -> Tensor:
    channels = (class_count, 1) if class_count == 2 else (class_count,)
    expected = f"(N, {class_count}, H, W)"
    return one(outputs, lambda output: output.ndim == 4 and output.shape[1] in channels, expected).float()


def decode_class_map(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> Tensor:
    """Decodes class ids (N, H, W) or (N, 1, H, W) to logits that are certain; see `models.outputs.layouts.Decode`."""
    expected = "(N, H, W) or (N, 1, H, W)"
    found = one(outputs, lambda output: output.ndim == 3 or (output.ndim == 4 and output.shape[1] == 1), expected)
    class_ids = (found[:, 0] if found.ndim == 4 else found).long()
    low, high = (int(limit) for limit in class_ids.aminmax())
    if low < 0 or high >= class_count:
        wrong = low if low < 0 else high
        raise ValueError(f"the network returns class id {wrong}, and the model has {class_count} class names")
    return functional.one_hot(class_ids, class_count).movedim(3, 1).float() * _CERTAIN
