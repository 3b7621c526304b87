"""Latent vectors and classes from a seed: the same numbers on every machine, whatever torch's generators have drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.parameters import GenerationParameters


def draw_latents(
    parameters: GenerationParameters, latent_size: int, class_count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draws the latent vectors of a request.

    Every image has a stream of its own of Philox, a counter-based generator (Salmon et al., 2011, Parallel random
    numbers: as easy as 1, 2, 3), with the seed as the key and the image's number in the counter: so image k is the same
    in every request with that seed.

    Args:
        parameters: Of the request.
        latent_size: Numbers of a latent vector.
        class_count: Number of classes.

    Returns:
        (count, latent_size) float32, of the standard normal distribution times the truncation, and (count,) int64 class
        ids. The vectors are the same whether the class is given or drawn.
    """
    streams = [
        np.random.Generator(np.random.Philox(key=parameters.seed, counter=(0, 0, 0, number)))
        for number in range(parameters.count)
    ]
    vectors = np.stack([stream.standard_normal(latent_size) for stream in streams]) * parameters.truncation
    drawn = np.array([stream.integers(class_count) for stream in streams], np.int64)
    class_ids = drawn if parameters.class_id is None else np.full(parameters.count, parameters.class_id, np.int64)
    return vectors.astype(np.float32), class_ids
