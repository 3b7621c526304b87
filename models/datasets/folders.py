"""Lists the images of folders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.datasets.packed_images import ImageFile
from models.imaging.file_names import SUFFIXES


@dataclass(frozen=True)
class LabelledImage:
    """An image file and what it shows.

    Attributes:
        path: The file, perhaps inside an archive.
        class_id: Index into the data set's `class_names`.
    """

    path: ImageFile
    class_id: int


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))


def class_folders(folder: Path) -> tuple[str, ...]:
    """Names the folders below one that hold images, in alphabetical order."""
    return tuple(path.name for path in _folders(folder) if any(image_files(path)))


def image_files(folder: Path) -> Iterator[Path]:
    """Lists the images in a folder and those below it, in alphabetical order; what is hidden is left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def labelled_images(folder: Path, class_names: Sequence[str]) -> tuple[LabelledImage, ...]:
    """Lists the images in the folders of some classes, class by class."""
    return tuple(
        LabelledImage(path, class_id)
        for class_id, name in enumerate(class_names)
        for path in image_files(folder / name)
    )
