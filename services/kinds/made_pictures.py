"""Answers that are images: how they are written as JSON and as one image file, and their schemas.

Of the experimental kinds, which alone import it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
from PIL import Image
from pydantic import Field

from models.drawing.picture import PictureFormat, encode
from models.imaging.decoding import decode
from models.predictions import Picture
from services.kinds.schemas import Answered, Cached, Found, ItemError, Listed, Schema

_FREE_PIXELS: Final = 2**26
"""The most pixels of an image that is decoded again: more than any card of this package allows."""


def write_picture(prediction: Picture, class_names: Sequence[str], _: object) -> dict[str, Any]:
    """The images, each as a PNG file in base64, with its class where it has one."""
    classes = [{"class_id": index, "class_name": class_names[index]} for index in prediction.class_ids]
    files = [b64encode(encode(Image.fromarray(pixels), "png")).decode("ascii") for pixels in prediction.images()]
    rows = classes or [{}] * len(files)
    return {"predictions": [{**row, "png": file} for row, file in zip(rows, files, strict=True)]}


def picture_file(body: bytes, picture_format: PictureFormat) -> bytes:
    """Makes one image file of an answer; several images become a grid.

    Args:
        body: The answer as `services.answers.wire.Outcome` has it.
        picture_format: Of the file.
    """
    files = png_files(orjson.loads(body))
    if len(files) == 1 and picture_format == "png":
        return files[0]
    pixels = np.stack([decode(file, max_bytes=len(file), max_pixels=_FREE_PIXELS).pixels for file in files])
    return encode(Image.fromarray(Picture.grid(pixels).pixels), picture_format)


def png_files(answer: Mapping[str, Any]) -> list[bytes]:
    """The PNG files of an answer."""
    return [b64decode(row["png"]) for row in answer["predictions"]]


class MadePicture(Schema):
    """One image that a model made."""

    class_id: int | None = Field(default=None, ge=0, description="Of a generator of classes.")
    class_name: str | None = None
    png: str = Field(description="A PNG file in base64.")


class FoundPictures(Found[MadePicture]):
    """The images that a model made: of a stylizer one. `image` is the size of each."""

    predictions: tuple[MadePicture, ...] = Field(min_length=1, description="The images.")


class PictureAnswer(FoundPictures, Cached, Answered):
    """Response as JSON."""


class PictureResult(FoundPictures, Cached, Listed):
    """The stylized image of one image of several."""


class PictureListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[PictureResult | ItemError, ...]


PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4//8/AAX+Av7czFnnAAAAAElFTkSuQmCC"
"""A PNG file of one white pixel, for examples."""


def example_of(model: str, **members: Any) -> dict[str, Any]:
    """An example of an answer as JSON, with one image of a pixel.

    Args:
        model: Its name.
        members: Of the image.
    """
    return {
        "model": model,
        "version": "1",
        "image": {"height": 1, "width": 1},
        "predictions": [{**members, "png": PIXEL}],
        "cached": False,
        "request_id": "5f0c8a52a8d14d4c",
    }
