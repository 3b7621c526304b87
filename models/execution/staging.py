"""Stacks the images of a batch where the device copies them from: in page-locked memory for a GPU."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.runtime import Runtime


def stack(images: Sequence[NDArray[np.uint8]], runtime: Runtime) -> NDArray[np.uint8]:
    """Stacks images to a batch.

    A GPU reads page-locked (pinned) memory by itself, at the full rate of its bus, while the calling thread goes on.
    Torch keeps such memory for later batches once an array is freed, and knows which copies still read it.

    Args:
        images: N at least 1, each (H, W, 3) uint8.
        runtime: Of the network that runs the batch.

    Returns:
        (N, H, W, 3) uint8, C-contiguous.
    """
    if not runtime.on_gpu:
        return np.stack(images)
    batch = torch.empty((len(images), *images[0].shape), dtype=torch.uint8, pin_memory=True)
    return np.stack(images, out=batch.numpy())
