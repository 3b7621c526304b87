"""Opens the data set that `--data` names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.datasets.class_folders import read_class_folders
from models.datasets.class_table import LABELS, is_class_table, read_csv, read_labels_json
from models.datasets.coco_json import is_coco, read_coco, read_coco_document
from models.datasets.data_folder import is_file
from models.datasets.digits import DIGITS, open_digits
from models.datasets.id_maps import read_id_maps
from models.datasets.layouts import annotation_file, find_layout
from models.datasets.photo_files import is_folder
from models.datasets.samples import DatasetError, EvaluationSet, Kind
from models.datasets.text_files import parse_json, read_text
from models.datasets.voc_xml import read_voc
from models.datasets.yolo_txt import read_yolo

FORMATS: Final = ("coco", "yolo", "voc", "masks", "folders", "csv")
"""Formats that may be given before the path, as in `coco:PATH`, instead of being detected."""

_WAYS: Final = (
    "digits, a COCO *.json file, a *.csv file, a YOLO data.yaml, or a folder with instances_val.json (COCO),"
    " Annotations/ (Pascal VOC), data.yaml (YOLO), images/ and labels/ (YOLO's *.txt or masks as *.png), labels.json,"
    " labels.csv, or a folder of images for every class"
)


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
        spec: `digits`, `digits:SEED` or `digits:SEED:COUNT` (generated, see `models.datasets.digits`); or
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
    forced, path, folder = _place_of(spec)
    format_name = forced
    if format_name is None:
        format_name, path = _found(path, kind)
    if format_name == "json":
        return _open_json(path / LABELS if path.is_dir() else path, kind, limit, folder, class_names, allow_outside)
    if format_name == "coco":
        return read_coco(path if path.is_file() else annotation_file(path), kind, limit, folder, allow_outside)
    if format_name == "yolo":
        return read_yolo(path, kind, limit, allow_outside)
    if format_name == "csv":
        return read_csv(_csv_file(path), kind, limit, class_names, allow_outside)
    if not path.is_dir():
        raise DatasetError(f"{path}: {format_name} is a folder, and this is a file")
    if format_name == "voc":
        return read_voc(path, kind, limit, allow_outside)
    read = read_id_maps if format_name == "masks" else read_class_folders
    return read(path, kind, limit, allow_outside)


def check_spec(spec: str) -> None:
    """Raises unless the file or folder of a spec exists.

    Raises:
        DatasetError: It does not exist.
    """
    if _is_digits(spec):
        open_digits(spec, "detection")
    else:
        _place_of(spec)


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


def _found(path: Path, kind: Kind) -> tuple[str, Path]:
    """The format of a file or folder, and the path to read."""
    if not path.is_dir():
        return _format_of_file(path), path
    try:
        layout = find_layout(path, kind)
    except DatasetError as error:
        raise DatasetError(f"{error}; data can be {_WAYS}") from None
    return layout.format_name, layout.path


def _format_of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    found = {".json": "json", ".csv": "csv", ".yaml": "yolo", ".yml": "yolo", ".data": "yolo"}.get(suffix)
    if found is None:
        raise DatasetError(f"{path}: not a file of labels; data can be {_WAYS}")
    return found


def _open_json(
    path: Path,
    kind: Kind,
    limit: int | None,
    folder: Path | None,
    class_names: tuple[str, ...] | None,
    allow_outside: bool,
) -> EvaluationSet:
    text = read_text(path)
    document = parse_json(path, text)
    if is_coco(document):
        return read_coco_document(path, text, document, kind, limit, folder, allow_outside)
    if is_class_table(document):
        return read_labels_json(path, kind, limit, class_names, text, allow_outside)
    raise DatasetError(f"{path}: neither in COCO's format (lists of images, annotations, categories) nor an object of"
                       " files and their classes")  # fmt: skip


def _csv_files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob("*.csv") if file.is_file())


def _csv_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = _csv_files(path)
    if len(files) == 1:
        return files[0]
    preferred = [file for file in files if file.name in ("val.csv", "labels.csv")]
    if preferred:
        return preferred[-1]
    raise DatasetError(f"{path}: {len(files)} CSV files; name one of them" if files else f"{path}: no CSV file")
