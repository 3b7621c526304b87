"""What was found, cut out of its photo: its pixels on transparent ground."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.drawing.annotations import Mark
from models.geometry.masks import Mask
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS, decode


def cut_out(
    data: bytes, marks: Sequence[Mark], *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Cuts the masks of an answer out of an encoded photo.

    Edges are hard: a pixel is either what it was, or transparent black. So the alpha channel is the union of the masks,
    exactly, and nothing of what was left out remains in the file. (Softer edges would take colour from outside.)

    Args:
        data: The photo, in any format of `models.imaging.decoding`.
        marks: The answer to it; those without a mask add nothing.
        max_bytes: As for `models.imaging.decoding.decode`.
        max_pixels: As for `models.imaging.decoding.decode`.

    Returns:
        RGBA, upright, of the photo's own size; all of it is transparent where nothing was found.

    Raises:
        ImageError: The photo cannot be read.
        ValueError: The masks are of another photo.
    """
    photo = decode(data, max_bytes=max_bytes, max_pixels=max_pixels)
    pixels = np.zeros((*photo.size, 4), np.uint8)
    masks = [mark.mask for mark in marks if mark.mask is not None]
    if masks:
        union = Mask.union(masks)
        if union.size != photo.size:
            raise ValueError(f"masks of {union.size} pixels are not those of a photo of {photo.size}")
        inside = union.to_array()
        np.copyto(pixels[..., :3], photo.pixels, where=inside[..., None])
        pixels[..., 3][inside] = 255
    return Image.fromarray(pixels)
