"""Images inside one file: the members of a ZIP archive, or the rows of an array in a NumPy archive (``.npz``)."""

from __future__ import annotations

import errno
import threading
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.datasets.samples import DatasetError
from models.datasets.text_files import MOST_BYTES
from models.signals.decoding import encode_signal

ZIP: Final = ".zip"
NPZ: Final = ".npz"
IMAGES: Final = "images"
SIGNALS: Final = "signals"
LABELS: Final = "labels"
CLASS_NAMES: Final = "class_names"
_MOST_IMAGE_BYTES: Final = 2**28
"""The size limit of an image in a ZIP archive once unpacked; who decodes it has lower ones."""
_OPEN_FILES: Final = 8
_KEPT_ARRAYS: Final = 2
"""Archives whose arrays stay in memory: those of a training and a held-out split."""
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # of which NotImplementedError is one
_PACKINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways of packing that are unpacked a piece at a time, so that a member cannot be larger than it says."""


@dataclass(frozen=True)
class PackedImage:
    """An image inside an archive, with what a `Path` needs to be read as an image.

    Attributes:
        archive: The ZIP file or the NumPy archive.
        name: Of the member; in a NumPy archive, `INDEX.png` or of a signal `INDEX.csv`, with as many digits as
            it needs.
    """

    archive: Path
    name: str

    @property
    def place(self) -> Path:
        """Where it is, for messages and digests: no file has this path."""
        return self.archive / self.name

    @property
    def is_signal(self) -> bool:
        """Whether it is a signal, in CSV, and not an image."""
        return self.archive.suffix.lower() == NPZ and self.name.endswith(".csv")

    def __str__(self) -> str:
        return str(self.place)

    def read_bytes(self) -> bytes:
        """Reads the encoded image; a row of an array is encoded as PNG.

        Raises:
            OSError: It cannot be read.
        """
        if self.archive.suffix.lower() == NPZ:
            row = int(self.name.partition(".")[0])
            arrays = read_arrays(self.archive)
            return encode_signal(arrays[SIGNALS][row]) if self.is_signal else _png(arrays[IMAGES][row])
        try:
            member = _members(self.archive)[self.name]
            if member.file_size > _MOST_IMAGE_BYTES:
                raise OSError(errno.EFBIG, f"is above {_MOST_IMAGE_BYTES} bytes", str(self))
            _check_packing(member)
            with _opened(self.archive, _time_of(self.archive)).open(member) as file:
                return file.read(member.file_size)
        except KeyError:
            raise OSError(errno.ENOENT, "is not in the archive", str(self)) from None
        except _BROKEN as error:
            raise OSError(errno.EIO, f"cannot be unpacked: {error}", str(self)) from None


ImageFile = Path | PackedImage
"""Where an encoded image is read from."""


def image_file(folder: Path, name: str) -> ImageFile:
    """The image of a name in a folder or in an archive.

    Args:
        folder: A folder, or a file that ends in `.zip` or `.npz`.
        name: Of the image below it; an absolute path stays what it is.
    """
    if folder.suffix.lower() in (ZIP, NPZ) and folder.is_file():
        return PackedImage(folder, name)
    return folder / name


def place_of(file: ImageFile) -> Path:
    """Where an image is, for messages and digests."""
    return file.place if isinstance(file, PackedImage) else file


def member_names(archive: Path) -> tuple[str, ...]:
    """Lists the files in a ZIP archive, in the order of their names; what is hidden is left out.

    Raises:
        DatasetError: It is no ZIP archive.
    """
    try:
        members = _members(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{archive}: cannot be read as a ZIP archive: {error}") from None
    hidden = ("__MACOSX", ".")
    names = (name for name in sorted(members) if not name.endswith("/"))
    return tuple(name for name in names if not any(part.startswith(hidden) for part in name.split("/")))


def read_arrays(archive: Path) -> dict[str, NDArray[Any]]:
    """Reads the arrays of a NumPy archive, once a process.

    Args:
        archive: Path of the file; arrays of Python objects, which can run code, are refused.

    Returns:
        The arrays by name.

    Raises:
        DatasetError: It is no such archive, or too large.
    """
    try:
        with _reading:
            return _arrays(archive, _time_of(archive))
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zlib.error,
        zipfile.BadZipFile,
        MemoryError,
        NotImplementedError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{archive}: cannot be read as a NumPy archive: {reason}") from None


def _time_of(archive: Path) -> int:
    """When the file was changed last, so that a new file of the same name is read anew."""
    return archive.stat().st_mtime_ns


def _members(archive: Path) -> dict[str, zipfile.ZipInfo]:
    return _opened(archive, _time_of(archive)).NameToInfo


@lru_cache(maxsize=_OPEN_FILES)
def _opened(archive: Path, _changed_ns: int) -> zipfile.ZipFile:
    """An archive, which threads may read at the same time."""
    return zipfile.ZipFile(archive)


def _check_packing(member: zipfile.ZipInfo) -> None:
    if member.compress_type not in _PACKINGS:
        raise NotImplementedError("only members that are stored or deflated can be read")


_reading: Final = threading.Lock()
"""Held while arrays are read, so that threads do not read the same ones."""


@lru_cache(maxsize=_KEPT_ARRAYS)
def _arrays(archive: Path, _changed_ns: int) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            _check_packing(member)
        size = sum(member.file_size for member in packed.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"its arrays have {size} bytes, more than {MOST_BYTES}")
    with np.load(archive, allow_pickle=False) as arrays:
        found: dict[str, Any] = {name: arrays[name] for name in arrays.files}
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} is no array")
    return found


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()
