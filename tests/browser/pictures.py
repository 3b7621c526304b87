"""Pictures for the page: photos, very large ones, and files that are none."""

from __future__ import annotations

import io

from PIL import Image

from tests.checkout import DOCS

ASTRONAUT = DOCS / "images" / "astronaut.jpg"
COFFEE = DOCS / "images" / "coffee.jpg"
NUCLEI_IMAGE = DOCS / "images" / "nuclei.jpg"


def enlarged(height: int, width: int) -> bytes:
    """The astronaut as a JPEG of another size, in pixels."""
    return _jpeg(Image.open(ASTRONAUT).resize((width, height), Image.Resampling.BILINEAR))


def grey(height: int, width: int) -> bytes:
    """A JPEG of one colour."""
    return _jpeg(Image.new("L", (width, height), 128))


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
