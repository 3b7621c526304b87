"""Writes pictures that a command made, in the format that the suffix of the file names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import typer

from services.cli.console import CommandError, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORMATS: Final[Mapping[str, Literal["png", "jpeg", "webp"]]] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
}


def check_suffix(path: Path) -> None:
    """Raises unless the suffix of a file names a format.

    Raises:
        BadParameter: It names none; the message lists them.
    """
    if path.suffix.lower() not in _FORMATS:
        raise typer.BadParameter(f"{printable(path)}: the name must end in {', '.join(_FORMATS)}")


def replace_picture(pixels: NDArray[np.uint8], path: Path) -> None:
    """Writes pixels as a picture, in the place of an older file.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        path: With a suffix that `check_suffix` accepts.

    Raises:
        CommandError: The file cannot be written.
    """
    from models.files import replaced

    try:
        with replaced(path) as file:
            file.write(_encoded(pixels, path.suffix))
    except OSError as error:
        raise CommandError(f"{printable(path)}: {(error.strerror or str(error)).lower()}") from None


def save_pixels(pixels: NDArray[np.uint8], folder: Path, stem: str) -> Path:
    """Writes pixels as a PNG under the first free name, and returns its path.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        folder: Where to; made if it is not there.
        stem: Name of the file without number and suffix.

    Raises:
        CommandError: The folder or the file cannot be written.
    """
    from services.cli.saving import save_picture

    return save_picture(_encoded(pixels, ".png"), folder, stem, ".png")


def _encoded(pixels: NDArray[np.uint8], suffix: str) -> bytes:
    from PIL import Image

    from models.drawing.picture import encode

    return encode(Image.fromarray(pixels), _FORMATS[suffix.lower()])
