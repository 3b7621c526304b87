"""Validates image headers without blocking the event loop: short ones directly, others in a thread; and signals."""

from __future__ import annotations

from functools import partial
from typing import Final

from models.errors import ImageError, UnreadableImage
from models.imaging.decoding import inspect
from models.signals.decoding import decode_signal, encode_signal, is_signal, most_bytes
from services.errors import InvalidImage, ServiceError
from services.gateway.serving.offload import INLINE_BYTES, TimeLimit, Workers
from services.settings import Settings

Checked = tuple[bytes | ServiceError, ...]
"""Encoded images, or errors in their place."""

INSPECTORS: Final = 2
"""Threads of one gateway that parse headers."""

INLINE_FILE_BYTES: Final = 1024
"""A file of no more bytes is checked on the event loop: even a compressed ICC profile of this size takes only 1 ms."""

SHORT_SEGMENTS: Final = 64
"""The most segments before a JPEG's scan with which it is parsed on the event loop; cameras write about ten."""


class Inspector:
    """Validates format and size of images by their headers.

    Args:
        settings: Caps on the image.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_bytes, self._max_pixels = settings.max_image_bytes, settings.max_image_pixels
        self._workers = Workers(INSPECTORS, "inspect")

    async def check(
        self, images: tuple[bytes | ServiceError, ...], limit: TimeLimit, signal_length: int | None = None
    ) -> tuple[bytes | ServiceError, ...]:
        """Check images by their headers, or signals by their numbers.

        Args:
            images: Encoded images or signals, or errors in their place, which stay there.
            limit: Time limit of the request.
            signal_length: Numbers in a signal, of a model that takes signals; None for images.

        Returns:
            The same, with an `InvalidImage` in the place of each that is empty, too large, or not what the model takes.
            Signals have one spelling, so that equal ones are one entry of the result cache.
        """
        if signal_length is not None:
            check = partial(_checked_signal, length=signal_length)
            is_quick = sum(len(image) for image in images if isinstance(image, bytes)) <= INLINE_BYTES
        else:
            check = self._checked
            is_quick = all(isinstance(image, ServiceError) or self._is_quick(image) for image in images)
        if is_quick:
            return tuple([check(image) for image in images])

        def work() -> Checked:
            checked: list[bytes | ServiceError] = []
            for image in images:
                limit.check()
                checked.append(check(image))
            return tuple(checked)

        return await self._workers.run(work, limit)

    def _is_quick(self, image: bytes) -> bool:
        return len(image) <= INLINE_FILE_BYTES or len(image) > self._max_bytes or has_short_header(image)

    def close(self) -> None:
        """Shut the thread pool down."""
        self._workers.close()

    def _checked(self, image: bytes | ServiceError) -> bytes | ServiceError:
        if isinstance(image, ServiceError):
            return image
        if is_signal(image):
            return InvalidImage.of(UnreadableImage("this is a signal, numbers as text, and the model takes images"))
        try:
            inspect(image, max_bytes=self._max_bytes, max_pixels=self._max_pixels)
        except ImageError as error:
            return InvalidImage.of(error)
        return image


def _checked_signal(signal: bytes | ServiceError, length: int) -> bytes | ServiceError:
    if isinstance(signal, ServiceError):
        return signal
    try:
        return encode_signal(decode_signal(signal, length, most_bytes(length)))
    except ImageError as error:
        return InvalidImage.of(error)


def has_short_header(image: bytes) -> bool:
    """Whether this is a JPEG file with few segments before its first scan. It takes 2 to 3 microseconds.

    Source: ITU-T T.81, section B.1.1.
    """
    if not image.startswith(b"\xff\xd8"):
        return False
    position = 2
    for _ in range(SHORT_SEGMENTS):
        head = image[position : position + 4]
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xFF:
            return False
        if head[1] == 0xDA:
            return True
        position += 2 + (head[2] << 8) + head[3]
    return False
