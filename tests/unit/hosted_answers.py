"""A photo to ask a model host about, and what it answers."""

from __future__ import annotations

import io
from typing import Any

import orjson
import skimage.data
from PIL import Image

from services.answers.wire import Outcome


def photo(size: tuple[int, int]) -> bytes:
    """The astronaut at (width, height), a PNG file."""
    file = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).resize(size).save(file, "PNG")
    return file.getvalue()


def answer_of(outcome: Outcome) -> dict[str, Any]:
    """The answer of an image that has one."""
    assert outcome.body is not None, outcome.failure
    return orjson.loads(outcome.body)
