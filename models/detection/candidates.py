"""Candidate boxes: the output of every detection network before non-maximum suppression (NMS)."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SCORE_FLOOR: Final = 0.001
"""Score threshold of candidates: lower ones hardly change average precision (COCO's own evaluations use 0.001 to 0.05),
and requests set far higher thresholds."""
MAX_CANDIDATES: Final = 1000
"""The most candidates of an image before NMS, those with the highest scores."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidate boxes of one image before NMS; several may belong to the same object.

    Attributes:
        boxes: (K, 4) float32, x_min, y_min, x_max, y_max in pixels of the network's input; may reach beyond it.
        scores: (K,) float32 in [0, 1], in any order.
        class_ids: (K,) int64.

    All are on the CPU, of the same length, which may be 0.
    """

    boxes: Tensor
    scores: Tensor
    class_ids: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, kept: Tensor) -> "Candidates":
        """Selects by a mask, (K,) bool, or by indices, (M,) int64, in the order of these."""
        return Candidates(self.boxes[kept], self.scores[kept], self.class_ids[kept])

    @classmethod
    def none(cls) -> "Candidates":
        """Candidates of an image without objects."""
        return cls(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))


class CandidateNetwork(Protocol):
    """A detection network on its device."""

    def candidates(self, pixels: NDArray[np.uint8]) -> list[Candidates]:
        """Runs the network.

        Called by one thread at a time per stream of a replica: it must be safe to call from several.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, N at least 1, resized and padded as `models.imaging.letterbox` does.

        Returns:
            One for each of the N images, in the same order: scores of at least `SCORE_FLOOR`, at most `MAX_CANDIDATES`.
        """
        ...
