"""How well classes are told apart pixel by pixel, from one confusion matrix over a data set.

All figures come from pixels counted over the whole data set, and not from means over images: a large image counts more
than a small one, and a class that an image does not have does no harm there. Pixels whose target nobody knows are not
counted, whatever is predicted for them.

An absent class is one that no target has. Its figures are NaN, and the means leave it out, as detectron2's
`SemSegEvaluator` does; pixels that are wrongly taken for it count against the classes that they are of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics.ratios import Numbers, mean_of_known, share, where_known


@dataclass(frozen=True, eq=False)
class Overlap:
    """Pixels of each class.

    Attributes:
        both: (…, K), pixels of the class that were taken for it.
        target: (…, K), pixels of the class.
        prediction: (…, K), pixels taken for it; of known pixels only.
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
        """(…, K) float64, pixels of the class or taken for it."""
        return np.subtract(np.add(self.target, self.prediction), self.both, dtype=np.float64)

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union, Jaccard's index (M. Everingham et al., "The Pascal Visual Object Classes Challenge:
        A Retrospective", 2015, section 4).

        Returns:
            (…, K) float64, 0 to 1; NaN of an absent class.
        """
        return where_known(share(self.both, self.either), self.target > 0)

    def dice(self) -> NDArray[np.float64]:
        """Twice what is in both as a share of target and prediction (L. R. Dice, "Measures of the Amount of Ecologic
        Association Between Species", 1945); it is 2 IoU / (1 + IoU).

        Returns:
            (…, K) float64, 0 to 1; NaN of an absent class.
        """
        sides = np.asarray(self.target, np.float64) + self.prediction
        return where_known(share(2 * np.asarray(self.both, np.float64), sides), self.target > 0)

    def pixel_accuracy(self) -> NDArray[np.float64]:
        """The share of known pixels that are right (J. Long et al., "Fully Convolutional Networks for Semantic
        Segmentation", 2015, arXiv:1411.4038, section 5).

        Returns:
            (…) float64, 0 to 1; NaN where no pixel is known.
        """
        return share(self.both.sum(-1), self.target.sum(-1))

    def frequency_weighted_iou(self) -> NDArray[np.float64]:
        """The mean of IoU over classes, each of which counts with its pixels (J. Long et al., 2015, section 5).

        Returns:
            (…) float64, 0 to 1; NaN where no pixel is known.
        """
        return mean_of_known(self.iou(), self.target)


def semantic_figures(overlap: Overlap) -> dict[str, NDArray[np.float64]]:
    """The figures of a data set.

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
    """How well a single image is told, for choosing the best and the worst of many.

    Args:
        overlap: Of each image, (N, K); class 0 is the background.

    Returns:
        (N,) float64, 0 to 1: the mean of IoU over the classes but the background that the image's target has or that
        are predicted (an invented class counts as 0 here); 1 where there is neither; NaN where no pixel is known.
    """
    iou = share(overlap.both, overlap.either)[:, 1:]
    alone = np.where(overlap.target.sum(-1) > 0, 1.0, np.nan)
    return np.where(np.isnan(iou).all(-1), alone, mean_of_known(iou))
