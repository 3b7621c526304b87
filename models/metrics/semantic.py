"""Semantic segmentation metrics (mIoU, Dice, pixel accuracy) from one confusion matrix over a data set.

Pixels are counted over the whole data set, and metrics are no means over images: a large image counts more than a small
one. Pixels without annotation are ignored, whatever is predicted for them.

An absent class is one that no target has. Its figures are NaN, and the means leave it out, as detectron2's
`SemSegEvaluator` does; false positives of it are false negatives of other classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics.ratios import Numbers, mean_of_known, share, where_known


@dataclass(frozen=True, eq=False)
class Overlap:
    """Intersection, target and predicted pixels of each class.

    Attributes:
        both: (…, K), intersection: pixels of the class that are predicted as it.
        target: (…, K), pixels of the class.
        prediction: (…, K), pixels predicted as the class; of annotated pixels only.
    """

    both: Numbers
    target: Numbers
    prediction: Numbers

    @classmethod
    def of(cls, confusion: NDArray[np.int64]) -> Overlap:
        """Takes a confusion matrix, or several.

        Args:
            confusion: (…, K, K) pixels, rows by target, columns by prediction.
        """
        return cls(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2))

    @property
    def either(self) -> NDArray[np.float64]:
        """(…, K) float64, union of target and prediction."""
        return np.subtract(np.add(self.target, self.prediction), self.both, dtype=np.float64)

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union, Jaccard's index (M. Everingham et al., "The Pascal Visual Object Classes Challenge:
        A Retrospective", 2015, section 4).

        Returns:
            (…, K) float64, 0 to 1; NaN of an absent class.
        """
        return where_known(share(self.both, self.either), self.target > 0)

    def dice(self) -> NDArray[np.float64]:
        """Dice coefficient, twice the intersection over target plus prediction (L. R. Dice, "Measures of the Amount of
        Ecologic Association Between Species", 1945); it is 2 IoU / (1 + IoU).

        Returns:
            (…, K) float64, 0 to 1; NaN of an absent class.
        """
        sides = np.asarray(self.target, np.float64) + self.prediction
        return where_known(share(2 * np.asarray(self.both, np.float64), sides), self.target > 0)

    def pixel_accuracy(self) -> NDArray[np.float64]:
        """Pixel accuracy, the share of annotated pixels that are correct (J. Long et al., "Fully Convolutional Networks
        for Semantic Segmentation", 2015, arXiv:1411.4038, section 5).

        Returns:
            (…) float64, 0 to 1; NaN where no pixel is known.
        """
        return share(self.both.sum(-1), self.target.sum(-1))

    def frequency_weighted_iou(self) -> NDArray[np.float64]:
        """Frequency-weighted IoU, the mean over classes weighted by their pixels (J. Long et al., 2015, section 5).

        Returns:
            (…) float64, 0 to 1; NaN where no pixel is known.
        """
        return mean_of_known(self.iou(), self.target)


def semantic_figures(overlap: Overlap) -> dict[str, NDArray[np.float64]]:
    """Computes the metrics of a data set.

    Args:
        overlap: Its pixels, (…, K); class 0 is the background.

    Returns:
        (…) float64 each, 0 to 1: `miou`, the mean of IoU over classes with the background; `iou`, without it; `dice`,
        the mean of Dice without it; `pixel_accuracy`; `fwiou`. NaN where no class that it is of is there.
    """
    iou = overlap.iou()
    return {
        "miou": mean_of_known(iou),
        "iou": mean_of_known(iou[..., 1:]),
        "dice": mean_of_known(overlap.dice()[..., 1:]),
        "pixel_accuracy": overlap.pixel_accuracy(),
        "fwiou": overlap.frequency_weighted_iou(),
    }


def image_iou(overlap: Overlap) -> NDArray[np.float64]:
    """Mean IoU of single images, for choosing the best and the worst of many.

    Args:
        overlap: Of each image, (N, K); class 0 is the background.

    Returns:
        (N,) float64, 0 to 1: the mean of IoU over the classes but the background that the image's target has or that
        are predicted (an invented class counts as 0 here); 1 where there is neither; NaN where no pixel is known.
    """
    iou = share(overlap.both, overlap.either)[:, 1:]
    alone = np.where(overlap.target.sum(-1) > 0, 1.0, np.nan)
    return np.where(np.isnan(iou).all(-1), alone, mean_of_known(iou))
