"""How well classes are told apart pixel by pixel, for the evaluation within a training run."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from models.datasets.object_masks import UNKNOWN
from models.datasets.photo_dataset import Photo, PhotoDataset
from models.metrics.confusion import confusion_matrix
from models.metrics.semantic import Overlap, semantic_figures
from models.predictions import SemanticMask
from models.training.canvas import UNKNOWN_CLASS

_FIGURES: Final = ("iou", "miou", "dice", "pixel_accuracy")


def semantic_accuracy(dataset: PhotoDataset, predictions: Iterable[SemanticMask]) -> dict[str, float]:
    """Measures class maps against a data set; what nobody knows is not counted.

    Args:
        dataset: The photos that were looked at, all with masks; class n of it is n + 1 in the class maps.
        predictions: One for every photo, in the same order.

    Returns:
        `iou`: the mean over classes of the pixels in both, as a share of those in either, without the background;
        `miou`: the same with it; `dice`: the mean of twice the pixels in both as a share of those in each, without it;
        `pixel_accuracy`: the share of pixels that are right: see `models.metrics.semantic`. Classes that no photo has
        are left out. 0 to 1; 0 where there is nothing to measure, so that weights can always be compared.
    """
    count = len(dataset.class_names) + 1
    confusion = np.zeros((count, count), np.int64)
    for photo, found in zip(dataset.photos, predictions, strict=True):
        confusion += confusion_matrix(_class_map(photo), found.class_map, count, UNKNOWN_CLASS)
    figures = semantic_figures(Overlap.of(confusion))
    return {name: float(np.nan_to_num(figures[name])) for name in _FIGURES}


def _class_map(photo: Photo) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    assert photo.masks is not None
    table = np.zeros(UNKNOWN + 1, np.uint8)
    table[1 : len(photo.class_ids) + 1] = photo.class_ids + 1
    table[UNKNOWN] = UNKNOWN_CLASS
    return table[photo.masks.id_map()]
