"""One decode of an image for several models of a process."""

import threading
from typing import Any

from models.errors import ImageError
from models.imaging.decoding import DecodedImage, decode


class SharedDecoding:
    """The pixels of an image that several models predict: the first one decodes it, the others wait for the pixels.

    Nobody may change the pixels. Pickling gives None: each other process decodes by itself.

    Args:
        data: The encoded image.
        short_side: The short side in pixels that a JPEG keeps at least, as for `models.imaging.decoding.decode`: the
            largest that one of the models needs.
    """

    def __init__(self, data: bytes, short_side: int) -> None:
        self._data = data
        self._short_side = short_side
        self._lock = threading.Lock()
        self._decoded: DecodedImage | ImageError | None = None

    def suffices(self, short_side: int) -> bool:
        """Whether the pixels are enough for a model that needs this short side."""
        return short_side <= self._short_side

    def decode(self, *, max_bytes: int, max_pixels: int) -> DecodedImage:
        """Returns the pixels; thread-safe.

        Args:
            max_bytes: The most bytes that are accepted.
            max_pixels: The most pixels (height x width) that are accepted.

        Raises:
            ImageError: The bytes are not an image that can be read.
        """
        with self._lock:
            if self._decoded is None:
                try:
                    self._decoded = decode(
                        self._data, min_short_side=self._short_side, max_bytes=max_bytes, max_pixels=max_pixels
                    )
                except ImageError as error:
                    self._decoded = error
        if isinstance(self._decoded, ImageError):
            raise self._decoded
        return self._decoded

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    return None
