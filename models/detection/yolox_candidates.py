"""Converts the raw maps of YOLOX to candidates, decoding only cells above the score threshold."""

from collections.abc import Sequence
from math import log
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.detection.candidates import MAX_CANDIDATES, SCORE_FLOOR, Candidates
from models.detection.grid import boxes_of, cells, flatten
from models.detection.yolox import STRIDES, Yolox
from models.entries import LetterboxPreprocessing
from models.execution.executor import executor_for
from models.runtime import Runtime

_FLOOR_LOGIT: Final = log(SCORE_FLOOR / (1 - SCORE_FLOOR))


class YoloxCandidates:
    """A YOLOX network as a `models.detection.candidates.CandidateNetwork`.

    Args:
        network: A float32 network in evaluation mode; it is not changed.
        preprocessing: Of the model.
        runtime: A resolved runtime.

    Raises:
        ValueError: The preprocessing makes images whose sides are not multiples of the largest stride.
    """

    def __init__(self, network: Yolox, preprocessing: LetterboxPreprocessing, runtime: Runtime) -> None:
        if preprocessing.stride % STRIDES[-1]:
            raise ValueError(f"stride must be a multiple of {STRIDES[-1]}, not {preprocessing.stride}")
        self._executor = executor_for(network, preprocessing, runtime)

    def candidates(self, pixels: NDArray[np.uint8]) -> list[Candidates]:
        """See `models.detection.candidates.CandidateNetwork.candidates`."""
        return candidates_from(self._executor.run_all(pixels))


@torch.inference_mode()
def candidates_from(levels: Sequence[Tensor]) -> list[Candidates]:
    """Decodes the raw maps of a batch.

    A score is objectness × class probability, and so never above the objectness: cells with too low an objectness are
    dropped before their boxes and classes are decoded.

    Args:
        levels: Output of `models.detection.yolox.Yolox` for N images.

    Returns:
        N; of each cell only the most probable class, as in the official evaluation.
    """
    raw = flatten(levels)
    objectness = raw[..., 4]
    count = min(int((objectness >= _FLOOR_LOGIT).sum(1).max()), MAX_CANDIDATES)
    best = objectness.topk(count, sorted=False).indices
    likely = raw.gather(1, best[..., None].expand(-1, -1, raw.shape[2]))
    class_scores, class_ids = likely[..., 5:].max(2)
    scores = likely[..., 4].sigmoid() * class_scores.sigmoid()
    boxes = boxes_of(likely, cells(levels)[best])
    return [
        Candidates(*parts)[parts[1] >= SCORE_FLOOR]
        for parts in zip(boxes.cpu(), scores.cpu(), class_ids.cpu(), strict=True)
    ]
