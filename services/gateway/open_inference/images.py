"""Reads the images of a request: encoded files (`image`) or pixels (`pixels`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.imaging import ppm
from services.errors import BodyTooLarge, InvalidParameters, ServiceError
from services.gateway.inputs import decode_base64
from services.gateway.open_inference.tensors import BYTES, InputTensor
from services.gateway.serving.offload import TimeLimit


@dataclass(frozen=True, slots=True)
class Input:
    """An input that every model has; a request has one of them.

    Attributes:
        name: Of the tensor.
        datatype: Of the tensor.
        dims: Shape of the tensor; -1 for any positive size.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]


IMAGE: Final = Input("image", BYTES, (-1,))
"""An encoded file for each image; in JSON its base64."""
PIXELS: Final = Input("pixels", "UINT8", (-1, -1, -1, 3))
"""Upright RGB pixels of images of one size: (images, height, width, 3)."""
INPUTS: Final = (IMAGE, PIXELS)


def read_images(
    inputs: Sequence[InputTensor], max_images: int, max_pixels: int, limit: TimeLimit
) -> tuple[bytes | ServiceError, ...]:
    """Read the images of a request.

    Args:
        inputs: Of the request.
        max_images: The most images in it.
        max_pixels: The most pixels of an image.
        limit: Time limit of the request.

    Returns:
        Encoded images; of pixels as PPM, which loses nothing. An error in the place of what is not base64.

    Raises:
        RequestError: there is not exactly one of `INPUTS`, or it has another datatype, shape or size than it says.
    """
    names = [tensor.name for tensor in inputs]
    known = " or ".join(one.name for one in INPUTS)
    if unknown := [name for name in names if name not in (IMAGE.name, PIXELS.name)]:
        raise InvalidParameters(
            f"unexpected input {unknown[0][:80]!r}; the model has {known}", {"unknown": unknown[:10]}
        )
    if len(inputs) != 1:
        raise InvalidParameters(f"the request must have one input, {known}, not {len(inputs)}")
    (tensor,) = inputs
    if tensor.shape and tensor.shape[0] > max_images:
        message = f"{tensor.shape[0]} images in one request; at most {max_images} are taken"
        raise BodyTooLarge(message, {"images": tensor.shape[0], "max_images": max_images})
    return _files(tensor, limit) if tensor.name == IMAGE.name else _wrapped(tensor, max_pixels, limit)


def _files(tensor: InputTensor, limit: TimeLimit) -> tuple[bytes | ServiceError, ...]:
    tensor.expect(IMAGE.datatype, (-1, 1) if len(tensor.shape) == 2 else IMAGE.dims)
    return tuple(
        element if isinstance(element, bytes) else decode_base64(element, limit) for element in tensor.byte_strings()
    )


def _wrapped(tensor: InputTensor, max_pixels: int, limit: TimeLimit) -> tuple[bytes, ...]:
    tensor.expect(PIXELS.datatype, PIXELS.dims)
    _, height, width, _ = tensor.shape
    if height * width > max_pixels:
        message = f"the images have {height} x {width} pixels; at most {max_pixels} are accepted"
        raise BodyTooLarge(message, {"height": height, "width": width, "max_pixels": max_pixels})
    wrapped: list[bytes] = []
    for pixels in tensor.array(np.uint8):
        limit.check()
        wrapped.append(ppm.encode(pixels))
    return tuple(wrapped)
