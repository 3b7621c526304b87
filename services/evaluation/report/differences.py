"""Notes on the differences of target and prediction, shown beside a pair of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import IGNORED
from models.drawing.annotations import Annotation
from services.evaluation.numbers import share
from services.evaluation.report.matching import Matching, Verdict

_MOST: Final = 6


def object_notes(annotations: Sequence[Annotation], verdicts: Matching) -> tuple[str, ...]:
    """Notes on matched, missed and false objects, with the highest score of each error.

    Args:
        annotations: The predictions.
        verdicts: Their matches, and those of the targets.
    """
    targets = Counter(verdicts.targets)
    known = len(verdicts.targets) - targets[Verdict.IGNORED]
    notes = [f"{targets[Verdict.RIGHT]} of {known} found" if known else "nothing is there"]
    if targets[Verdict.MISSED]:
        notes.append(f"{targets[Verdict.MISSED]} missed")
    for verdict, words in ((Verdict.OTHER_CLASS, "of another class"), (Verdict.FALSE, "false")):
        scores = [
            annotation.score
            for annotation, one in zip(annotations, verdicts.predictions, strict=True)
            if one is verdict
        ]
        if scores:
            notes.append(f"{len(scores)} {words}, {'at' if len(scores) == 1 else 'up to'} {max(scores):.2f}")
    return tuple(notes)


def region_notes(there: NDArray[np.uint8], found: NDArray[np.uint8], class_names: Sequence[str]) -> tuple[str, ...]:
    """Notes on the share of wrong pixels, and the IoU of the largest classes of this image.

    Args:
        there: (H, W) class ids, 0 the background, `IGNORED` without annotation.
        found: (H, W) class ids that were predicted.
        class_names: The model's.
    """
    known = there != IGNORED
    if not known.any():
        return ("nothing is known of this image",)
    sizes = Counter[int]()
    for class_map in (there[known], found[known]):
        numbers, counts = np.unique(class_map, return_counts=True)
        sizes.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
    notes = [f"{np.mean(there[known] != found[known]):.1%} of pixels wrong"]
    for number, _ in sizes.most_common():
        if number:
            both = np.count_nonzero(known & (there == number) & (found == number))
            either = np.count_nonzero(known & ((there == number) | (found == number)))
            notes.append(f"IoU of {class_names[number]} {share(both / either)}")
    return tuple(notes[:_MOST])
