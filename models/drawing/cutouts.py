"""Cut-outs: the pixels of the predicted masks on a transparent background."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.drawing.annotations import Annotation
from models.geometry.masks import Mask
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS, decode


def cut_out(
    data: bytes, annotations: Sequence[Annotation], *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Cuts the masks of a prediction out of an encoded photo.

    Edges are hard: a pixel is either unchanged, or transparent black. So the alpha channel is exactly the union of the
    masks, and the file contains no other pixels. (Soft edges would include colour from outside.)

    Args:
        data: The photo, in any format of `models.imaging.decoding`.
        annotations: Its predictions; those without a mask are skipped.
        max_bytes: As for `models.imaging.decoding.decode`.
        max_pixels: As for `models.imaging.decoding.decode`.

    Returns:
        RGBA, upright, of the photo's own size; fully transparent without masks.

    Raises:
        ImageError: The photo cannot be read.
        ValueError: The masks are of another photo.
    """
    photo = decode(data, max_bytes=max_bytes, max_pixels=max_pixels)
    pixels = np.zeros((*photo.size, 4), np.uint8)
    masks = [annotation.mask for annotation in annotations if annotation.mask is not None]
    if masks:
        union = Mask.union(masks)
        if union.size != photo.size:
            raise ValueError(f"masks of {union.size} pixels are not those of a photo of {photo.size}")
        inside = union.to_array()
        np.copyto(pixels[..., :3], photo.pixels, where=inside[..., None])
        pixels[..., 3][inside] = 255
    return Image.fromarray(pixels)
