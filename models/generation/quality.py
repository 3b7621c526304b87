"""Figures of generated images beside held-out ones: FID, agreement with the class, precision, recall, diversity."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.generation.fid import fid
from models.generation.judge import Judgement
from models.generation.neighbours import covered, spread

MOST_NEIGHBOURS: Final = 2000
"""Images whose neighbours are looked at: the distances of all pairs are computed."""


def quality(
    generated: Judgement, asked: NDArray[np.int64], real: Judgement, truth: NDArray[np.int64]
) -> dict[str, float]:
    """Measures generated images.

    Args:
        generated: What the judge sees in them.
        asked: (N,) the class that each was to show, as the judge counts classes.
        real: What the judge sees in real images that nothing has learned from.
        truth: (M,) the class of each of those.

    Returns:
        `fid`: see `models.generation.fid`. `agreement`: share of the images that the judge sees the asked class in.
        `precision` and `recall`: see `models.generation.neighbours.covered`, of at most `MOST_NEIGHBOURS` images,
        at even distances.
        `diversity` and `least_diversity`: mean distance between two images of a class as a share of that between
        two real ones, the mean and the least over the classes; near 0 where a class shows the same image again
        and again.
    """
    ours, theirs = _some(generated.features), _some(real.features)
    spreads = diversities(generated.features, asked, real.features, truth)
    return {
        "fid": fid(generated.features, real.features),
        "agreement": float((generated.class_ids == asked).mean()),
        "precision": covered(ours, theirs),
        "recall": covered(theirs, ours),
        "diversity": float(np.mean(list(spreads.values()))),
        "least_diversity": min(spreads.values()),
    }


def diversities(
    generated: NDArray[np.floating], asked: NDArray[np.int64], real: NDArray[np.floating], truth: NDArray[np.int64]
) -> dict[int, float]:
    """The diversity of each class, relative to real images.

    Args:
        generated: (N, D) features.
        asked: (N,) classes of them.
        real: (M, D) features.
        truth: (M,) classes of them.

    Returns:
        By class id, 1 where two generated images of a class are as far apart as two real ones; classes with fewer than
        two images of either are left out.
    """
    found: dict[int, float] = {}
    for class_id in np.unique(truth).tolist():
        ours, theirs = generated[asked == class_id], real[truth == class_id]
        if min(len(ours), len(theirs)) >= 2:
            found[class_id] = spread(ours[:MOST_NEIGHBOURS]) / spread(theirs[:MOST_NEIGHBOURS])
    return found


def _some(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most `MOST_NEIGHBOURS` rows at even distances, so of all classes."""
    count = min(len(features), MOST_NEIGHBOURS)
    return features[np.linspace(0, len(features) - 1, count).round().astype(np.int64)]
