"""The training and validation photos of a detector or segmenter, from any data-set format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.numbered_pictures import ClassMaps
from models.datasets.opening import find_place, open_objects
from models.datasets.photo_dataset import DatasetError, Photo, PhotoDataset
from models.datasets.read_options import HELD_OUT, TRAINING, NoSplit, ReadOptions, Split
from models.datasets.samples import UNNAMED, Kind, LabelProblem

_COCO: Final = ("coco", "json")
_SHOWN_CLASSES: Final = 20

HeldOut = LabelledPhotos | ClassMaps
"""What a model is measured on: the very set that `tapetum evaluate` opens."""


@dataclass(frozen=True)
class PhotoData:
    """Photos to train on.

    Attributes:
        training: To learn from.
        held_out: To measure on; None where the first data set has no val split.
        problems: Labels that are wrong, and were left out.
    """

    training: PhotoDataset
    held_out: HeldOut | None
    problems: tuple[LabelProblem, ...]


def read_photo_data(
    data: Sequence[Path],
    kind: Kind,
    classes: tuple[str, ...] | None = None,
    class_name: str = UNNAMED,
    allow_outside: bool = False,
) -> PhotoData:
    """Reads the photos to learn from, of all data sets, and those of the first that are held out.

    Photos that were met before are left out: held-out ones, and duplicates. They have the same path, or in a data set
    in COCO's format, which names photos by numbers that are unique, the same file name.

    Args:
        data: Folders or files in any format of `docs/datasets.md`. The first one's val split is held out; the others
            only add photos to learn from.
        kind: `detection`, `keypoints`, `instance` or `semantic`.
        classes: To find; all of the first data set where None.
        class_name: What objects are called whose masks are numbers in pictures.
        allow_outside: Whether labels and links may lead to files outside the data folders.

    Raises:
        DatasetError: The data cannot be used.
    """
    reader = _Reader(kind, class_name, allow_outside)
    first = reader.read(data[0], TRAINING)
    names = classes if classes is not None else tuple(dict.fromkeys(first.photos.object_classes))
    _check_known(data[0], first.photos, names)
    held_out = _held_out(reader, data[0], first.format_name)
    if held_out is not None:
        unknown = [name for name in held_out.object_classes if name not in names]
        if unknown and classes is None:
            raise DatasetError(f"{data[0]}: its val split has the class {unknown[0]!r}, and its train split does not")
        held_out = _with_classes(data[0], held_out, names)
        reader.seen |= {key for file in held_out.files for key in _keys(held_out.folder / file, by_name=True)}
    sets = [reader.learned(data[0], first, names)]
    sets += [reader.learned(path, reader.read(path, TRAINING), names) for path in data[1:]]
    photos = tuple(photo for dataset in sets for photo in dataset.photos)
    training = replace(sets[0], name=" + ".join(dataset.name for dataset in sets), photos=photos)
    return PhotoData(training, held_out, tuple(dict.fromkeys(reader.problems)))


class _Read(NamedTuple):
    """A split that was read, and the format of its labels."""

    photos: HeldOut
    format_name: str


class _Reader:
    """Reads splits, and remembers their photos and what is wrong with them."""

    def __init__(self, kind: Kind, class_name: str, allow_outside: bool) -> None:
        self._kind: Kind = kind
        self._class_name = class_name
        self._allow_outside = allow_outside
        self.problems: list[LabelProblem] = []
        self.seen: set[Path | str] = set()

    def read(self, path: Path, wanted: Split, format_name: str | None = None) -> _Read:
        place = find_place(str(path), self._kind, wanted, format_name)
        options = ReadOptions(self._kind, allow_outside=self._allow_outside, for_training=wanted is TRAINING)
        photos = open_objects(place, options)
        self.problems += photos.problems
        if isinstance(photos, LabelledPhotos) and photos.pictures and photos.object_classes == (UNNAMED,):
            photos = replace(photos, class_names=(*photos.class_names[:-1], self._class_name))
        return _Read(photos, place.format_name)

    def learned(self, path: Path, read: _Read, names: tuple[str, ...]) -> PhotoDataset:
        """The photos of a split that were not met before."""
        chosen = _with_classes(path, read.photos, names)
        photos: list[Photo] = []
        for index, file in enumerate(chosen.files):
            keys = _keys(chosen.folder / file, read.format_name in _COCO)
            if keys.isdisjoint(self.seen):
                photos.append(chosen.photo(index))
        self.seen |= {key for photo in photos for key in _keys(photo.path, by_name=True)}
        numbers = chosen.category_ids[len(chosen.category_ids) - len(names) :]
        return PhotoDataset(
            chosen.name, tuple(photos), names, numbers, chosen.skeleton if isinstance(chosen, LabelledPhotos) else None
        )


def _held_out(reader: _Reader, path: Path, format_name: str) -> HeldOut | None:
    try:
        return reader.read(path, HELD_OUT, format_name).photos
    except NoSplit:
        return None


def _keys(path: Path, by_name: bool) -> set[Path | str]:
    """What a photo is known by."""
    return {path.resolve(), path.name} if by_name else {path.resolve()}


def _with_classes(path: Path, photos: HeldOut, names: tuple[str, ...]) -> HeldOut:
    if photos.names_classes:
        _check_known(path, photos, names)
    return photos.with_classes(names)


def _check_known(path: Path, photos: HeldOut, names: tuple[str, ...]) -> None:
    theirs = photos.object_classes
    missing = [name for name in names if name not in theirs]
    if missing:
        raise DatasetError(f"{path}: no class {missing[0]!r}; it has {', '.join(theirs[:_SHOWN_CLASSES])}")
