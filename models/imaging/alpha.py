"""Transparency, composited on white."""

import numpy as np
from numpy.typing import NDArray


def on_white(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], *, premultiplied: bool = False) -> NDArray[np.uint8]:
    """Composites on white.

    Args:
        pixels: (H, W, C).
        alpha: (H, W), 255 where it is opaque.
        premultiplied: Whether the pixels are already multiplied by their alpha ("associated").

    Returns:
        (H, W, C).
    """
    weight = alpha[..., np.newaxis].astype(np.uint16)
    if premultiplied:
        return np.minimum(pixels + (255 - weight), 255).astype(np.uint8)
    # 127 is added so that the division rounds
    return ((pixels * weight + (255 - weight) * np.uint16(255) + 127) // 255).astype(np.uint8)
