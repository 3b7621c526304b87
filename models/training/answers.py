"""What a loaded model says of the photos of a data set, for its evaluation."""

from collections.abc import Iterator

from models.adapter import Adapter, P, R
from models.datasets.photo_dataset import DatasetError, PhotoDataset
from models.errors import ImageError


def answers(adapter: Adapter[P, R], dataset: PhotoDataset, parameters: P) -> Iterator[R]:
    """Asks a loaded model about every photo of a data set.

    Args:
        adapter: The model.
        dataset: The photos.
        parameters: For all of them.

    Yields:
        Its predictions, in the same order.

    Raises:
        DatasetError: A photo cannot be read, or is of another size than its annotation says.
    """
    for photo in dataset.photos:
        try:
            (found,) = adapter.predict([photo.path.read_bytes()], parameters)
        except (OSError, ImageError) as error:
            raise DatasetError(f"{photo.path}: {error}") from None
        photo.check_size(found.image_size)
        yield found
