"""Top-k classes by probability."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adapter import ClassificationParameters, ModelInput, RawOutput
from models.predictions import Classification


def most_probable(
    probabilities: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[ClassificationParameters]
) -> list[Classification]:
    """Returns the top-k classes of each image.

    Args:
        probabilities: (N, C) float32.
        inputs: The N inputs.
        parameters: The N requests' parameters.

    Returns:
        N predictions of min(top_k, C) classes; equally probable classes are ordered by id, except at the last place.
    """
    return [
        _ranked(np.asarray(row, np.float32), item.image_size, wanted.top_k)
        for row, item, wanted in zip(probabilities, inputs, parameters, strict=True)
    ]


def _ranked(probabilities: NDArray[np.float32], image_size: tuple[int, int], top_k: int) -> Classification:
    count = min(top_k, len(probabilities))
    best = np.argpartition(probabilities, len(probabilities) - count)[-count:]
    class_ids = best[np.lexsort((best, -probabilities[best]))].astype(np.int64)
    return Classification(class_ids, probabilities[class_ids], image_size)
