"""Images that are made up, not downloaded: for load tests on machines that have no photos."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
_SHAPES: Final = 12


def scene(size: tuple[int, int], seed: int, content_type: str = "image/jpeg") -> bytes:
    """An image file: shapes of many colours on a ground that shades off, with noise as of a camera.

    Args:
        size: (height, width) in pixels.
        seed: Each makes another image; the same one makes the same.
        content_type: One of `FORMATS`.
    """
    height, width = size
    chance = np.random.default_rng(seed)
    corners = chance.uniform(0, 255, (2, 2, 3))
    down, across = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    top, foot = (corners[row, 0] * (1 - across) + corners[row, 1] * across for row in (0, 1))
    noise = chance.normal(0, 4, (height, width, 1))
    image = Image.fromarray((top * (1 - down) + foot * down + noise).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for number in range(_SHAPES):
        x, y = chance.uniform(0, width), chance.uniform(0, height)
        half_width, half_height = chance.uniform(0.03, 0.25, 2) * (width, height)
        colour = (int(chance.integers(256)), int(chance.integers(256)), int(chance.integers(256)))
        shape = draw.ellipse if number % 2 else draw.rectangle
        shape((x - half_width, y - half_height, x + half_width, y + half_height), fill=colour)
    file = io.BytesIO()
    image.save(file, FORMATS[content_type], quality=88)
    return file.getvalue()
