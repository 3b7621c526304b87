"""Pseudo-labels: masks for photos that have only boxes, predicted by a teacher model from the boxes."""

from dataclasses import replace

import numpy as np

from models.catalog.loading import load
from models.datasets.object_masks import CocoMasks, rectangle
from models.datasets.photo_dataset import DatasetError, Photo, PhotoDataset
from models.errors import ImageError
from models.imaging import decoding
from models.runtime import Runtime
from models.segmentation.instances import InstanceSegmenter


def with_taught_masks(dataset: PhotoDataset, teacher: str, runtime: Runtime) -> PhotoDataset:
    """Gives every photo masks.

    A Mask R-CNN that is shown the true boxes has only their insides to tell apart, and so makes better masks than it
    does alone. Those who learn from its masks learn from many more photos than have masks by hand.

    Args:
        dataset: Photos, some of which have boxes only.
        teacher: An instance segmenter of the catalog with all classes of the data set.
        runtime: Where and how it runs.

    Returns:
        The data set; photos that have masks keep their own.

    Raises:
        DatasetError: A photo cannot be read, or is of another size than its annotation says.
        ValueError: The teacher gives no masks of objects, or does not know a class.
        ModelsError: There is no such model.
    """
    adapter = load(teacher, runtime)
    if not isinstance(adapter, InstanceSegmenter):
        raise ValueError(f"{teacher} finds no objects with masks, so that it cannot teach them")
    unknown = [name for name in dataset.class_names if name not in adapter.class_names]
    if unknown:
        raise ValueError(f"{teacher} cannot teach {unknown[0]!r}; it knows {', '.join(adapter.class_names[:20])}")
    photos = (
        photo if photo.masks is not None else _taught(photo, adapter, dataset.class_names) for photo in dataset.photos
    )
    return replace(dataset, photos=tuple(photos))


def _taught(photo: Photo, teacher: InstanceSegmenter, class_names: tuple[str, ...]) -> Photo:
    try:
        image = decoding.decode(photo.path.read_bytes())
    except (OSError, ImageError) as error:
        raise DatasetError(f"{photo.path}: {error}") from None
    photo.check_size(image.size)
    theirs = np.array([teacher.class_names.index(class_names[index]) for index in photo.class_ids.tolist()], np.int64)
    masks = teacher.masks_in(image, photo.boxes, theirs)
    crowds = [rectangle(crowd) for crowd in photo.crowds.tolist()]
    return replace(photo, masks=CocoMasks(photo.size, [mask.to_coco() for mask in masks], crowds))
