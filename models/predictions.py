"""What the networks answer: frozen arrays whose shapes are checked when a prediction is made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Classification:
    """The most probable classes of one image, best first.

    Attributes:
        class_ids: (K,) int64, indices into the model's `class_names`.
        probabilities: (K,) float32 in [0, 1], descending.
        image_size: (height, width) of the upright original in pixels.

    Raises:
        ValueError: On construction, where shapes, types or the order do not hold.
    """

    class_ids: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.class_ids.ndim != 1 or self.class_ids.shape != self.probabilities.shape:
            raise ValueError(
                f"class_ids {self.class_ids.shape} and probabilities {self.probabilities.shape} must both be (K,)"
            )
        if self.class_ids.dtype != np.int64 or self.probabilities.dtype != np.float32:
            raise ValueError(f"expected int64 and float32, got {self.class_ids.dtype} and {self.probabilities.dtype}")
        if np.any(self.probabilities[1:] > self.probabilities[:-1]):
            raise ValueError("probabilities must descend")


Prediction = Classification
"""Any task's answer for one image; detections and masks join this union with their tasks."""
