"""What both ways to train a pose estimator share: its entry, and what they ask of the data."""

from typing import Final

from models.catalog.lookup import find
from models.datasets.photo_dataset import DatasetError, PhotoDataset
from models.entries import POSE_DEFAULTS, CatalogEntry, LetterboxPreprocessing
from models.training.run_options import PhotoDataOptions
from models.training.trained_card import untrained_card

NO_SIDES: Final = (
    "no view is mirrored: the data set does not say which key points change places in a mirror image; in YOLO's format "
    "`flip_idx` does, and names with left and right do"
)


def start_preprocessing(start: str) -> LetterboxPreprocessing:
    """How the model to start from prepares photos, which the new one does likewise.

    Args:
        start: A name of the catalog.

    Raises:
        ModelsError: There is no such model.
        ValueError: It finds no boxes.
    """
    preprocessing = find(start).preprocessing
    if not isinstance(preprocessing, LetterboxPreprocessing):
        raise ValueError(f"{start} finds no boxes: start from a detector or an instance segmenter")
    return preprocessing


def check_labelled(training: PhotoDataset) -> None:
    """Makes sure that there are key points to learn from.

    Raises:
        DatasetError: There are none.
    """
    for photo in training.photos:
        if photo.key_points is not None and (photo.key_points[..., 2] > 0).any():
            return
    raise DatasetError(f"{training.name}: no object has a labelled key point")


def pose_card(options: PhotoDataOptions, training: PhotoDataset) -> CatalogEntry:
    """Makes the entry, without what only its training tells.

    Args:
        options: What and how.
        training: What it learns from.

    Raises:
        ModelsError: There is no such model to start from.
        ValueError: It finds other classes, or no boxes.
    """
    skeleton, start = training.skeleton, find(options.start)
    assert skeleton is not None
    preprocessing = start_preprocessing(options.start)
    if start.class_names != training.class_names:
        raise ValueError(
            f"{options.start} finds {', '.join(start.class_names or ())}, and {training.name} has key points of "
            f"{', '.join(training.class_names)}: start from a detector of the same classes"
        )
    return untrained_card(
        options,
        "tapetum train",
        task="keypoints",
        architecture=options.architecture,
        class_names=training.class_names,
        category_ids=training.category_ids,
        skeleton=skeleton,
        arguments={"key_points": len(skeleton)},
        preprocessing=preprocessing,
        defaults=POSE_DEFAULTS,
        description=f"Finds {', '.join(training.class_names[:5])} and {len(skeleton)} key points of each.",
    )
