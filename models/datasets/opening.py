"""Opens the data set that `--data` names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from models.datasets.class_archives import read_class_archive
from models.datasets.class_folders import read_class_folders
from models.datasets.class_table import LABELS, is_class_table, read_csv, read_labels_json
from models.datasets.classified_photos import ClassifiedPhotos
from models.datasets.coco_json import is_coco, read_coco, read_coco_document
from models.datasets.data_folder import is_file
from models.datasets.digits import DIGITS, open_digits
from models.datasets.id_maps import read_id_maps
from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.layouts import ARCHIVE, annotation_file, class_format, find_layout
from models.datasets.mnist1d import Mnist1d, is_mnist1d, open_mnist1d
from models.datasets.numbered_pictures import ClassMaps
from models.datasets.packed_images import NPZ, ZIP
from models.datasets.photo_files import is_folder
from models.datasets.read_options import HELD_OUT, MEASURED, SPLIT_FOLDERS, TRAINING, NoSplit, ReadOptions, Split
from models.datasets.samples import DatasetError, EvaluationSet, Kind
from models.datasets.text_files import parse_json, read_text
from models.datasets.voc_xml import read_voc
from models.datasets.yolo_txt import read_yolo

FORMATS: Final = ("coco", "yolo", "voc", "masks", "folders", "csv", ARCHIVE)
"""Formats that may be given before the path, as in `coco:PATH`, instead of being detected."""

_WAYS: Final = (
    "digits, mnist1d, a COCO *.json file, a *.csv file, a YOLO data.yaml, a *.zip or *.npz of images by class, or a"
    " folder with instances_val.json (COCO), Annotations/ (Pascal VOC), data.yaml (YOLO), images/ and labels/ (YOLO's"
    " *.txt or masks as *.png), labels.json, labels.csv, train.zip or train.npz, or a folder of images for every class"
)


_Opened = LabelledPhotos | ClassMaps | ClassifiedPhotos


class Place(NamedTuple):
    """Where labels are.

    Attributes:
        format_name: One of `FORMATS`, or `json`: COCO's format, or a table of classes.
        path: File or folder.
        folder: Of the photos; looked for where None.
        wanted: Which images of the path.
    """

    format_name: str
    path: Path
    folder: Path | None
    wanted: Split


def open_dataset(
    spec: str,
    kind: Kind,
    limit: int | None = None,
    class_names: tuple[str, ...] | None = None,
    allow_outside: bool = False,
) -> EvaluationSet:
    """Opens a data set.

    Labels that are wrong are left out and listed in its `problems`.

    Args:
        spec: `digits`, `digits:SEED` or `digits:SEED:COUNT` (generated, see `models.datasets.digits`); the
            same of `mnist1d` (`models.datasets.mnist1d`); or
            a file or folder in a format of `docs/datasets.md`, optionally with one of `FORMATS` and a colon before it;
            `FILE.json:FOLDER` is a COCO file with its photos in another folder.
        kind: The task.
        limit: So many images at most, one or more; the first ones, and of a data set for classifiers evenly from all.
        class_names: The model's, for tables whose classes are bare numbers: these are then the model's class ids.
        allow_outside: Whether labels may name files outside the data folder; see `models.datasets.data_folder`.

    Raises:
        DatasetError: It does not exist, or cannot be evaluated on; the message lists what was looked for.
    """
    if limit is not None and limit < 1:
        raise DatasetError(f"the limit must be 1 or more, not {limit}")
    if _is_digits(spec):
        return open_digits(spec, kind, limit)
    if is_mnist1d(spec):
        return _open_mnist1d(spec, kind, limit)
    place = find_place(spec, kind)
    return _open(place, ReadOptions(kind, limit, allow_outside, place.wanted), class_names)


def find_place(spec: str, kind: Kind, wanted: Split = MEASURED, format_name: str | None = None) -> Place:
    """Finds the labels of a split.

    Args:
        spec: See `open_dataset`, without `digits`.
        kind: The task.
        wanted: Which images.
        format_name: Of the labels; detected where None.

    Raises:
        DatasetError: There are none, or it is not clear which are meant.
        NoSplit: There are none of a split that was asked for.
    """
    forced, path, folder = _place_of(spec)
    format_name = forced or format_name
    if path.is_dir() and forced is None:
        try:
            layout = find_layout(path, kind, wanted, format_name)
        except NoSplit:
            raise
        except DatasetError as error:
            raise DatasetError(f"{error}; data can be {_WAYS}") from None
        return Place(layout.format_name, layout.path, folder, layout.wanted)
    if path.is_file() and not wanted.unsplit and format_name != "yolo":
        raise NoSplit(f"{path}: is one file, which has no splits")
    return Place(format_name or _format_of_file(path), path, folder, wanted)


def open_objects(place: Place, options: ReadOptions) -> LabelledPhotos | ClassMaps:
    """Opens labels of objects, or of pixels.

    Args:
        place: See `find_place`.
        options: For `detection`, `instance` or `semantic`.

    Raises:
        DatasetError: See `open_dataset`.
        NoSplit: The data set has no such split.
    """
    data = _open(place, replace(options, split=place.wanted), None)
    assert isinstance(data, LabelledPhotos | ClassMaps)
    return data


def open_classes(spec: str, allow_outside: bool = False) -> tuple[ClassifiedPhotos, ClassifiedPhotos | None]:
    """Opens images of one class each for training.

    Args:
        spec: See `open_dataset`, without `digits`.
        allow_outside: See `open_dataset`.

    Returns:
        Those to learn from, and those of a val split; None where it has none, so that the first are all there are.

    Raises:
        DatasetError: See `open_dataset`.
    """
    forced, path, folder = _place_of(spec)
    format_name = forced or (class_format(path) if path.is_dir() else _format_of_file(path))
    options = ReadOptions("classification", allow_outside=allow_outside, split=TRAINING)
    learned = _open(Place(format_name, path, folder, TRAINING), options, None)
    assert isinstance(learned, ClassifiedPhotos)
    try:
        held_out = _open(Place(format_name, path, folder, HELD_OUT), replace(options, split=HELD_OUT), None)
    except NoSplit:
        return learned, None
    assert isinstance(held_out, ClassifiedPhotos)
    return learned, held_out


def _open(place: Place, options: ReadOptions, class_names: tuple[str, ...] | None) -> _Opened:
    format_name, path, folder, wanted = place
    if options.kind == "classification" and not wanted.unsplit and _is_table(place):
        raise NoSplit(f"{path}: is one table, which has no splits")
    if format_name == "json":
        return _open_json(path / LABELS if path.is_dir() else path, folder, options, class_names)
    if format_name == "coco":
        return read_coco(path if path.is_file() else annotation_file(path, wanted, options.kind), options, folder)
    if format_name == "yolo":
        return read_yolo(path, options)
    if format_name == "csv":
        return read_csv(_csv_file(path, wanted), options, class_names)
    if format_name == ARCHIVE:
        return read_class_archive(path, options, class_names)
    if not path.is_dir():
        raise DatasetError(f"{path}: {format_name} is a folder, and this is a file")
    if options.kind == "keypoints" and format_name in ("voc", "masks"):
        raise DatasetError(f"{path}: {format_name} has no key points; use COCO's format, or YOLO's with `kpt_shape`")
    if format_name == "voc":
        return read_voc(path, options)
    return read_id_maps(path, options) if format_name == "masks" else read_class_folders(path, options)


def _is_table(place: Place) -> bool:
    """Whether labels are one file without splits; a ZIP archive may hold a folder for each."""
    return place.format_name == "json" or (place.path.is_file() and place.path.suffix.lower() != ZIP)


def check_spec(spec: str) -> None:
    """Raises unless the file or folder of a spec exists.

    Raises:
        DatasetError: It does not exist.
    """
    if _is_digits(spec):
        open_digits(spec, "detection")
    elif is_mnist1d(spec):
        open_mnist1d(spec)
    else:
        _place_of(spec)


def _open_mnist1d(spec: str, kind: Kind, limit: int | None) -> Mnist1d:
    if kind != "classification":
        raise DatasetError(f"{spec}: are signals, for a classifier of signals")
    return open_mnist1d(spec, "val", limit)


def _is_digits(spec: str) -> bool:
    return spec == DIGITS or spec.startswith(f"{DIGITS}:")


def _place_of(spec: str) -> tuple[str | None, Path, Path | None]:
    """The format before the path or None, the path, and the folder of the photos or None."""
    prefix, colon, rest = spec.partition(":")
    forced = prefix if colon and prefix in FORMATS else None
    path, folder = _path_and_folder(rest if forced else spec)
    if not is_folder(path) and not is_file(path):
        raise DatasetError(f"{path}: no such file or folder; data can be {_WAYS}")
    if folder is not None and not is_folder(folder):
        raise DatasetError(f"{folder}: no such folder")
    return forced, path, folder


def _path_and_folder(text: str) -> tuple[Path, Path | None]:
    """A path, and the folder after `FILE.json:`, relative to the working folder or to that of the file."""
    file, colon, after = text.rpartition(":")
    if not colon or not file.lower().endswith(".json") or not after:
        return Path(text).expanduser(), None
    path, folder = Path(file).expanduser(), Path(after).expanduser()
    return path, folder if is_folder(folder) or not is_folder(path.parent / folder) else path.parent / folder


def _format_of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    found = {".json": "json", ".csv": "csv", ".yaml": "yolo", ".yml": "yolo", ".data": "yolo"}.get(suffix)
    found = ARCHIVE if suffix in (ZIP, NPZ) else found
    if found is None:
        raise DatasetError(f"{path}: not a file of labels; data can be {_WAYS}")
    return found


def _open_json(
    path: Path, folder: Path | None, options: ReadOptions, class_names: tuple[str, ...] | None
) -> LabelledPhotos | ClassifiedPhotos:
    text = read_text(path)
    document = parse_json(path, text)
    if is_coco(document):
        return read_coco_document(path, text, document, options, folder)
    if is_class_table(document):
        return read_labels_json(path, options, class_names, text)
    raise DatasetError(f"{path}: neither in COCO's format (lists of images, annotations, categories) nor an object of"
                       " files and their classes")  # fmt: skip


def _csv_files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob("*.csv") if file.is_file())


def _csv_file(path: Path, wanted: Split) -> Path:
    if path.is_file():
        return path
    files = [file for file in _csv_files(path) if file.stem not in SPLIT_FOLDERS or file.stem in wanted.all_names]
    if len(files) == 1 and (wanted.unsplit or files[0].stem in wanted.names):
        return files[0]
    for stem in (*wanted.names, *(["labels"] if wanted.unsplit else [])):
        if path / f"{stem}.csv" in files:
            return path / f"{stem}.csv"
    raise (DatasetError if wanted.unsplit else NoSplit)(
        f"{path}: {len(files)} CSV files; name one of them" if files else f"{path}: no CSV file"
    )
