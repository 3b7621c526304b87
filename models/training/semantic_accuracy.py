"""Metrics of semantic segmentation during training."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from models.datasets.samples import IGNORED, RegionTarget, Sample
from models.metrics.confusion import confusion_matrix
from models.metrics.semantic import Overlap, semantic_figures
from models.predictions import SemanticMask

_FIGURES: Final = ("iou", "miou", "dice", "pixel_accuracy")


def semantic_accuracy(found: Iterable[tuple[Sample, SemanticMask]], class_count: int) -> dict[str, float]:
    """Measures class maps against a data set; ignored pixels are not counted.

    Args:
        found: Photos, with class maps as targets, and their predictions.
        class_count: Of the data set, with the background.

    Returns:
        `iou`: the mean over classes of the pixels in both, as a share of those in either, without the background;
        `miou`: the same with it; `dice`: the mean of twice the pixels in both as a share of those in each, without it;
        `pixel_accuracy`: the share of pixels that are right: see `models.metrics.semantic`. Classes that no photo has
        are left out. 0 to 1; 0 where there is nothing to measure, so that weights can always be compared.
    """
    confusion = np.zeros((class_count, class_count), np.int64)
    for sample, prediction in found:
        assert isinstance(sample.target, RegionTarget)
        confusion += confusion_matrix(sample.target.class_map, prediction.class_map, class_count, IGNORED)
    figures = semantic_figures(Overlap.of(confusion))
    return {name: float(np.nan_to_num(figures[name])) for name in _FIGURES}
