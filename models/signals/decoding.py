"""Decodes signals: numbers as text, in CSV or as a JSON list; the only decoder of untrusted signals."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import EmptyImage, ImageTooLarge, InvalidSignal

MAX_BYTES: Final = 2**22
"""The size limit of a signal's text: 65,536 numbers of `BYTES_A_NUMBER`."""
BYTES_A_NUMBER: Final = 64
"""The most bytes of text that a number may take on average; Python writes a float with 24 at most."""

_MARKS: Final = frozenset(b"0123456789+-.,;eE[]\t\r\n ")
"""Every byte of the text of finite numbers. No image format begins with eight of these."""
_LOOKED_AT: Final = 64
_SHOWN: Final = 40
_GREATEST: Final = float(np.finfo(np.float32).max)


def is_signal(data: bytes) -> bool:
    """Whether bytes begin as the text of numbers, rather than as an image."""
    head = data[:_LOOKED_AT]
    return bool(head.strip()) and _MARKS.issuperset(head)


def most_bytes(length: int) -> int:
    """The size limit of the text of so many numbers."""
    return min(MAX_BYTES, BYTES_A_NUMBER * length)


def decode_signal(data: bytes, length: int | None = None, max_bytes: int = MAX_BYTES) -> NDArray[np.float32]:
    """Decodes a signal.

    Args:
        data: Numbers with commas, semicolons, spaces or line ends between them, perhaps in square brackets, in ASCII.
        length: How many numbers there must be; any number where None.
        max_bytes: The most bytes that are accepted.

    Returns:
        (length,) float32, all finite.

    Raises:
        ImageError: It is empty, too large, not text of numbers, has another length, or a number is not finite.
    """
    if not data.strip():
        raise EmptyImage("the signal has no bytes")
    if len(data) > min(max_bytes, MAX_BYTES):
        limit = min(max_bytes, MAX_BYTES)
        raise ImageTooLarge(f"the signal has {len(data)} bytes; at most {limit} are accepted", {"max_bytes": limit})
    return _checked([_number(text, place) for place, text in enumerate(_texts(data), 1)], length)


def encode_signal(values: Sequence[float] | NDArray[np.float32]) -> bytes:
    """Encodes a signal as CSV: the same bytes for the same float32 numbers, as a key of the result cache.

    Args:
        values: The numbers.
    """
    return ",".join(repr(float(value)) for value in np.asarray(values, np.float32)).encode()


def signal_of(values: Sequence[object]) -> bytes:
    """Encodes the members of a JSON list.

    Raises:
        InvalidSignal: One is not a finite number.
    """
    numbers: list[float] = []
    for place, value in enumerate(values, 1):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidSignal(f"number {place} of the signal is {_shown(repr(value))}, and not a number")
        numbers.append(float(value) if abs(value) <= _GREATEST else float("inf"))
    return encode_signal(_checked(numbers, None))


def _texts(data: bytes) -> list[str]:
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise InvalidSignal("the body is not a signal: numbers as text, in CSV or as a JSON list") from None
    if ";" in text and "," in text:
        raise InvalidSignal(
            "the signal has both commas and semicolons; write decimal points, and commas between numbers"
        )
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    text = text.strip()
    if not any(mark in text for mark in ",;\n"):
        return text.split()
    return text.replace(";", ",").replace(",\r\n", ",").replace(",\n", ",").replace("\n", ",").rstrip(",").split(",")


def _number(text: str, place: int) -> float:
    try:
        if "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise InvalidSignal(f"number {place} of the signal is {_shown(repr(text.strip()))}, and not a number") from None


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _checked(numbers: Sequence[float], length: int | None) -> NDArray[np.float32]:
    for place, number in enumerate(numbers, 1):
        if not isfinite(number) or abs(number) > _GREATEST:
            raise InvalidSignal(f"number {place} of the signal is not finite")
    if length is not None and len(numbers) != length:
        message = f"the signal has {len(numbers)} numbers; the model takes {length}"
        raise InvalidSignal(message, {"numbers": len(numbers), "length": length})
    return np.array(numbers, np.float32)
