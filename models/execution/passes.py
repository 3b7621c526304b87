"""Runs a network over a batch in passes of a few images, and makes tensors of what a library returns."""

# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PIXELS_PER_PASS: Final = 2**16
"""Images of 224 x 224 pixels and more run one by one. Larger passes are not faster: they take 0.9 to 1.1 times as long
per image on one thread (`loadtests/device.py`), two threads share several images worse than one, and the memory of a
pass stays allocated for the next one: 60 MB for a U-Net and one image of 416 x 416 pixels."""

Run = Callable[[NDArray[np.uint8]], tuple[Tensor, ...]]
"""From (N, H, W, 3) pixels to the outputs of a network."""


def images_per_pass(height: int, width: int) -> int:
    """Returns the images of a pass on a CPU.

    Args:
        height: Of an image in pixels.
        width: Likewise.
    """
    return max(1, _PIXELS_PER_PASS // (height * width))


def run_in_passes(run: Run, pixels: NDArray[np.uint8], step: int, *, padded: bool = False) -> tuple[Tensor, ...]:
    """Runs a network over a batch.

    Args:
        run: The network.
        pixels: (N, H, W, 3), N at least 1.
        step: Images of a pass; the last one may have fewer.
        padded: Whether the last pass is filled up to `step` images with copies of its last one.

    Returns:
        The outputs for all images; those of a single pass as they are, also where their rows are not images.

    Raises:
        RuntimeError: The outputs of several or filled up passes have other rows than images.
    """
    passes = [
        _run_one(run, pixels[start : start + step], step if padded else 0) for start in range(0, len(pixels), step)
    ]
    return passes[0] if len(passes) == 1 else tuple(torch.cat(parts) for parts in zip(*passes, strict=True))


def _run_one(run: Run, pixels: NDArray[np.uint8], size: int) -> tuple[Tensor, ...]:
    count = len(pixels)
    if count >= size:
        return run(pixels)
    outputs = run(np.concatenate([pixels, np.repeat(pixels[-1:], size - count, axis=0)]))
    for output in outputs:
        if output.ndim == 0 or len(output) != size:
            raise RuntimeError(f"{size} images give an output of shape {tuple(output.shape)}, not a row for each")
    return tuple(output[:count] for output in outputs)


def to_tensor(values: NDArray[Any]) -> Tensor:
    """Makes a tensor of an output of any type.

    Args:
        values: Of the output; floats of float32 are not copied.

    Returns:
        float32 of floats, int64 of integers and booleans.
    """
    dtype = np.float32 if np.issubdtype(values.dtype, np.floating) else np.int64
    return torch.from_numpy(values.astype(dtype, copy=False))
