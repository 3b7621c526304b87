"""The picture in the files of the image matrix, and the check that it is decoded."""

import numpy as np

from models.imaging.decoding import decode, inspect

HEIGHT, WIDTH = 21, 37


def samples_of(channels: int, depth: int) -> np.ndarray:
    """(21, 37, channels) of all values that the depth has, in ramps of several directions."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    across, down = columns / (WIDTH - 1), rows / (HEIGHT - 1)
    ramps = np.stack([across, down, (across + down) / 2, 1 - down][:channels], axis=2)
    return np.rint(ramps * (2**depth - 1)).astype("u2" if depth == 16 else "u1")


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composites colours of 0 to 255 with alpha of 0 to 1."""
    return colours * alpha + 255 * (1 - alpha)


def check(data: bytes, expected: np.ndarray, tolerance: float = 1.001) -> None:
    """Asserts that a file is decoded to (H, W, 3) of 0 to 255, and that `inspect` finds its size."""
    pixels = decode(data).pixels
    assert inspect(data).size == pixels.shape[:2] == expected.shape[:2]
    assert np.abs(pixels - expected).max() <= tolerance
