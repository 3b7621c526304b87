"""Compares the raw outputs of an exported network with those of the adapter's own, on photos."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.adapter import Adapter, ModelInput
from models.entries import LetterboxPreprocessing
from models.execution.external import NetworkExecutor
from models.imaging.decoding import DecodedImage

TOLERANCE: Final = 1e-3
"""The largest difference that is accepted, relative to the largest absolute value of the same output. The bundled
models differ by 1e-6 to 1e-5: two libraries add float32 numbers in different orders."""
_PHOTOS: Final = ("china.jpg", "flower.jpg")
"""Photos of 427 x 640 pixels that come with scikit-learn."""


class Agreement(NamedTuple):
    """How far two executors of the same network differ.

    Attributes:
        difference: Largest absolute difference of any output.
        largest: Largest absolute value of any output.
        relative: Largest ratio of an output's difference to its largest absolute value.
    """

    difference: float
    largest: float
    relative: float

    @property
    def is_close(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.relative <= TOLERANCE


def photo_batches(adapter: Adapter[Any, Any]) -> list[NDArray[np.uint8]]:
    """Preprocesses photos for a model.

    Args:
        adapter: The model.

    Returns:
        A batch of two photos, each (2, H, W, 3) uint8, and one of a single photo; where the model takes inputs of
        several sizes, the latter is upright and the former are wide.
    """
    photos = [adapter.decode((files("sklearn.datasets.images") / name).read_bytes()) for name in _PHOTOS]
    height, width = photos[0].size
    upright = DecodedImage(np.ascontiguousarray(np.rot90(photos[0].pixels)), (width, height))
    batches = photos, [upright]
    return [np.stack([_within_tile(adapter, adapter.preprocess(photo)) for photo in batch]) for batch in batches]


def compare(reference: NetworkExecutor, other: NetworkExecutor, batches: Sequence[NDArray[np.uint8]]) -> Agreement:
    """Runs two executors on the same batches.

    Args:
        reference: The adapter's own.
        other: The exported network.
        batches: Each (N, H, W, 3) uint8.

    Returns:
        The differences; infinite where the outputs differ in number or shape.
    """
    pairs = [pair for batch in batches for pair in _differences(reference, other, batch)]
    ratios = [difference / largest if largest else difference for difference, largest in pairs]
    return Agreement(max(difference for difference, _ in pairs), max(largest for _, largest in pairs), max(ratios))


def _differences(
    reference: NetworkExecutor, other: NetworkExecutor, pixels: NDArray[np.uint8]
) -> Iterator[tuple[float, float]]:
    """Of each output, the largest difference and the largest absolute value."""
    expected, found = reference.run_all(pixels), other.run_all(pixels)
    if [output.shape for output in expected] != [output.shape for output in found]:
        yield float("inf"), 0.0
        return
    for one, another in zip(expected, found, strict=True):
        yield float((one - another).abs().max()), float(one.abs().max())


def _within_tile(adapter: Adapter[Any, Any], item: ModelInput) -> NDArray[np.uint8]:
    """The input, or the first tile of it where the model takes larger inputs in tiles."""
    preprocessing = adapter.entry.preprocessing
    tile = preprocessing.tile if isinstance(preprocessing, LetterboxPreprocessing) else None
    return item.pixels[:tile, :tile]
