"""Top-k classes by probability, and the base class of the adapters that return them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adapter import ModelInput, RawOutput
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import ClassificationParameters
from models.predictions import Classification


class RankingAdapter(ABC):
    """Implements `postprocess` and `predict` of `models.adapter.Adapter`; a subclass adds the rest."""

    @abstractmethod
    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`."""

    @abstractmethod
    def preprocess(self, image: DecodedImage) -> ModelInput:
        """See `models.adapter.Adapter.preprocess`."""

    @abstractmethod
    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, class_count) float32 probabilities.
        """

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[ClassificationParameters]
    ) -> list[Classification]:
        """See `models.adapter.Adapter.postprocess`."""
        return most_probable(raw, inputs, parameters)

    def predict(
        self, images: Sequence[bytes], parameters: ClassificationParameters | None = None
    ) -> list[Classification]:
        """See `models.adapter.Adapter.predict`."""
        inputs = [self.preprocess(self.decode(data)) for data in images]
        return self.postprocess(self.forward(inputs), inputs, [parameters or ClassificationParameters()] * len(inputs))


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
