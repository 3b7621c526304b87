"""How well classes are told apart pixel by pixel, from one confusion matrix over a data set."""

from collections.abc import Iterable

import numpy as np

from models.predictions import SemanticMask
from models.training.canvas import UNKNOWN_CLASS
from models.training.object_masks import UNKNOWN
from models.training.photo_dataset import Photo, PhotoDataset


def semantic_accuracy(dataset: PhotoDataset, predictions: Iterable[SemanticMask]) -> dict[str, float]:
    """Measures class maps against a data set; what nobody knows is not counted.

    Args:
        dataset: The photos that were looked at, all with masks; class n of it is n + 1 in the class maps.
        predictions: One for every photo, in the same order.

    Returns:
        `iou`: the mean over classes of the pixels in both, as a share of those in either, without the background;
        `miou`: the same with it; `dice`: the mean of twice the pixels in both as a share of those in each, without it;
        `pixel_accuracy`: the share of pixels that are right. Classes that are nowhere are left out. 0 to 1.
    """
    count = len(dataset.class_names) + 1
    confusion = np.zeros((count, count), np.int64)
    for photo, found in zip(dataset.photos, predictions, strict=True):
        truth = _class_map(photo)
        known = truth != UNKNOWN_CLASS
        pairs = truth[known].astype(np.int64) * count + found.class_map[known]
        confusion += np.bincount(pairs, minlength=count * count).reshape(count, count)
    both, either = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    present = either > 0
    iou = np.divide(both, either - both, where=present, out=np.full(count, np.nan))
    dice = np.divide(2 * both, either, where=present, out=np.full(count, np.nan))
    return {
        "iou": float(np.nanmean(iou[1:])) if present[1:].any() else 0.0,
        "miou": float(np.nanmean(iou)),
        "dice": float(np.nanmean(dice[1:])) if present[1:].any() else 0.0,
        "pixel_accuracy": float(both.sum() / max(1, confusion.sum())),
    }


def _class_map(photo: Photo) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    assert photo.masks is not None
    table = np.zeros(UNKNOWN + 1, np.uint8)
    table[1 : len(photo.class_ids) + 1] = photo.class_ids + 1
    table[UNKNOWN] = UNKNOWN_CLASS
    return table[photo.masks.id_map()]
