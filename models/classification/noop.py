"""A no-op classifier for benchmarks: it reads the header of the image and returns a constant prediction.

A request passes through every layer of the stack at no model cost, so that a benchmark measures the overhead.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adapter import ModelInput
from models.classification.ranking import RankingAdapter
from models.entries import CatalogEntry
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.runtime import Runtime


class NoopClassifier(RankingAdapter):
    """A `models.adapter.Adapter` without a network.

    Args:
        entry: Its catalog entry.
        runtime: The runtime that it reports.
    """

    def __init__(self, entry: CatalogEntry, runtime: Runtime) -> None:
        self.entry = entry
        self.class_names = tuple(f"class {class_id}" for class_id in range(entry.class_count))
        self.runtime = runtime.resolve()
        self.weights_digest = "0" * 64
        weights = np.arange(entry.class_count, 0, -1, dtype=np.float32)
        self._probabilities: NDArray[np.float32] = weights / weights.sum()
        self._pixels = np.zeros((1, 1, 3), np.uint8)

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """Reads the header; returns one constant pixel."""
        return DecodedImage(self._pixels, decoding.inspect(data, max_bytes=max_bytes, max_pixels=max_pixels).size)

    def preprocess(self, image: DecodedImage) -> ModelInput:
        """See `models.adapter.Adapter.preprocess`."""
        return ModelInput(image.pixels, image.size)

    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, class_count) float32 probabilities, every row the same, class 0 the most probable.
        """
        return np.broadcast_to(self._probabilities, (len(inputs), self.entry.class_count))

    def warm_up(self, max_batch_size: int) -> None:
        """Does nothing: there is no network."""
