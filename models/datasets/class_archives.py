"""Reads images of one class each from one file: a ZIP archive with `CLASS/…jpg`, or a NumPy archive (`.npz`) with the
arrays `images` (or `signals`) and `labels`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.classified_photos import ClassifiedPhotos
from models.datasets.data_folder import DataFolder
from models.datasets.label_problems import ProblemList
from models.datasets.packed_images import CLASS_NAMES, IMAGES, LABELS, NPZ, SIGNALS, ZIP, member_names, read_arrays
from models.datasets.photo_files import spread
from models.datasets.read_options import NoSplit, ReadOptions, Split
from models.datasets.samples import DatasetError
from models.imaging.file_names import SUFFIXES

_MOST_CLASSES: Final = 100_000


def archives_in(folder: Path) -> tuple[Path, ...]:
    """Lists the archives of a folder that may hold images: `*.zip` and `*.npz`, by name."""
    return tuple(path for path in sorted(folder.iterdir()) if path.suffix.lower() in (ZIP, NPZ) and path.is_file())


def read_class_archive(
    path: Path, options: ReadOptions, model_names: tuple[str, ...] | None = None
) -> ClassifiedPhotos:
    """Reads an archive.

    Args:
        path: The archive; or a folder with one for every split, such as `train.zip` and `val.zip`.
        options: For `classification`; a limit takes images evenly from all.
        model_names: Class names of the model that is measured, for labels in an `.npz` without `class_names`.

    Raises:
        DatasetError: It is no such archive, or holds no images.
        NoSplit: It has no such split.
    """
    if options.kind != "classification":
        raise DatasetError(f"{path}: an archive of images by class has no boxes, masks or key points; this model is"
                           " measured on COCO, YOLO, VOC, CSV or masks")  # fmt: skip
    archive = _archive_of(path, options.split, options.allow_outside)
    name = f"{archive.absolute().parent.name}/{archive.stem}"
    split = ""
    if archive.suffix.lower() == NPZ:
        class_names, images = _of_arrays(archive, model_names)
    else:
        class_names, images, split = _of_folders(archive, options.split if archive == path else options.split.within)
    photos = [(index, file, class_id) for index, (file, class_id) in enumerate(images, 1)]
    name = f"{name}/{split}" if split else name
    return ClassifiedPhotos.of(name, archive, class_names, spread(photos, options.limit), ProblemList())


def _archive_of(path: Path, wanted: Split, allow_outside: bool) -> Path:
    if path.is_file():
        return path
    archives = archives_in(path)
    DataFolder(path, allow_outside=allow_outside).checked(archives)
    for name in wanted.names:
        found = [archive for archive in archives if archive.stem.lower() == name]
        if len(found) > 1:
            raise DatasetError(f"{path}: holds {' and '.join(archive.name for archive in found)}; name one of them")
        if found:
            return found[0]
    if len(archives) == 1 and wanted.unsplit:
        return archives[0]
    listed = ", ".join(archive.name for archive in archives) or "none"
    raise (DatasetError if wanted.unsplit else NoSplit)(
        f"{path}: no archive {wanted.names[0]}.zip or {wanted.names[0]}.npz; it holds {listed}"
    )


def _of_folders(archive: Path, wanted: Split) -> tuple[tuple[str, ...], Sequence[tuple[str, int]], str]:
    """The class names of a ZIP archive, its images with their class ids, and the split within it or nothing."""
    names = [name for name in member_names(archive) if Path(name).suffix.lower() in SUFFIXES]
    outer = _common_folder(names)
    split = next((each for each in wanted.names if any(name.startswith(f"{outer}{each}/") for name in names)), "")
    if not split and not wanted.unsplit:
        raise NoSplit(f"{archive}: no {wanted.names[0]}/CLASS/ in it")
    root = f"{outer}{split}/" if split else outer
    inside = [name for name in names if name.startswith(root) and "/" in name[len(root) :]]
    class_names = tuple(sorted({_class_of(name, root) for name in inside}))
    if not class_names:
        raise DatasetError(f"{archive}: no images in folders by class, such as {wanted.names[0]}/CLASS/ or CLASS/")
    ids = {name: index for index, name in enumerate(class_names)}
    return class_names, [(name, ids[_class_of(name, root)]) for name in inside], split


def _class_of(name: str, root: str) -> str:
    return name[len(root) :].partition("/")[0]


def _common_folder(names: Sequence[str]) -> str:
    """The folder that packing a folder puts around all classes, such as `flowers/`; or nothing."""
    first = names[0].partition("/")[0] if names else ""
    return f"{first}/" if names and all(name.startswith(f"{first}/") and name.count("/") > 1 for name in names) else ""


def _of_arrays(archive: Path, model_names: tuple[str, ...] | None) -> tuple[tuple[str, ...], Sequence[tuple[str, int]]]:
    """The class names of a NumPy archive, and its images with their class ids."""
    arrays = read_arrays(archive)
    is_signal = SIGNALS in arrays
    images = _signals(archive, arrays) if is_signal else _images(archive, arrays)
    labels = _labels(archive, arrays)
    if len(images) != len(labels):
        raise DatasetError(f"{archive}: {len(images)} {SIGNALS if is_signal else IMAGES}, but {len(labels)} {LABELS}")
    digits = len(str(max(0, len(images) - 1)))
    files = [(f"{index:0{digits}}.{'csv' if is_signal else 'png'}", class_id) for index, class_id in enumerate(labels)]
    return _class_names(archive, arrays, labels, model_names), files


def _images(archive: Path, arrays: dict[str, NDArray[Any]]) -> NDArray[np.uint8]:
    images = arrays.get(IMAGES)
    if (
        images is None
        or images.dtype != np.uint8
        or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3))
        or not min(images.shape[1:3])
    ):
        found = "none" if images is None else f"{images.shape} {images.dtype}"
        raise DatasetError(f"{archive}: {IMAGES} must be uint8 of shape (N, H, W) or (N, H, W, 3); it is {found}")
    return images


def _signals(archive: Path, arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
    signals = arrays[SIGNALS]
    if signals.dtype.kind not in "iuf" or signals.ndim != 2 or not np.isfinite(signals).all():
        found = f"{signals.shape} {signals.dtype}"
        raise DatasetError(f"{archive}: {SIGNALS} must be finite numbers of shape (N, length); it is {found}")
    return signals


def _labels(archive: Path, arrays: dict[str, NDArray[Any]]) -> list[int]:
    labels = arrays.get(LABELS)
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = "none" if labels is None else f"{labels.shape} {labels.dtype}"
        raise DatasetError(f"{archive}: {LABELS} must be whole numbers of shape (N,); it is {found}")
    class_ids: list[int] = labels.tolist()
    if class_ids and not 0 <= min(class_ids) <= max(class_ids) < _MOST_CLASSES:
        raise DatasetError(f"{archive}: {LABELS} must be from 0 to {_MOST_CLASSES - 1}")
    return class_ids


def _class_names(
    archive: Path, arrays: dict[str, NDArray[Any]], labels: Sequence[int], model_names: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Those in the archive; or else the model's, whose class ids the labels are; or else the numbers."""
    count = max(labels, default=-1) + 1
    if CLASS_NAMES in arrays:
        named = tuple(str(name) for name in arrays[CLASS_NAMES].reshape(-1).tolist())
        if len(named) < count or len(set(named)) != len(named):
            raise DatasetError(f"{archive}: {CLASS_NAMES} must be {count} different names or more, not {len(named)}")
        return named
    if model_names is not None and len(model_names) >= count:
        return model_names
    return tuple(map(str, range(count)))
