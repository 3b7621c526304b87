"""Runs a loaded model on the photos of a data set, for evaluation during training."""

from collections.abc import Iterator

from models.adapter import Adapter, P, R
from models.datasets.samples import DatasetError, EvaluationSet, Sample
from models.errors import ImageError


def answers(adapter: Adapter[P, R], dataset: EvaluationSet, parameters: P) -> Iterator[tuple[Sample, R]]:
    """Asks a loaded model about every photo of a data set.

    Args:
        adapter: The model.
        dataset: The photos.
        parameters: For all of them.

    Yields:
        Every photo with its prediction.

    Raises:
        DatasetError: A photo cannot be read, or is of another size than its labels say.
    """
    for index in range(len(dataset)):
        sample = dataset.load(index)
        try:
            (found,) = adapter.predict([sample.image], parameters)
        except ImageError as error:
            raise DatasetError(f"{sample.name}: {error}") from None
        yield sample, found
