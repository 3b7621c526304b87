"""Evaluates a generator as it is served: generates images of every class and compares them with held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.generation.image_generator import ImageGenerator
from models.generation.judge import Judge, Judgement
from models.generation.quality import quality
from models.parameters import MAX_GENERATED, GenerationParameters

SEED: Final = 0
"""Of the first images that are generated."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Real images that a generator has not learned from, as a judge sees them.

    Attributes:
        judge: The judge.
        judgement: What it sees in them.
        class_ids: (N,) int64, their classes as the judge counts them.
        numbers: The judge's class id of every class of the data.
    """

    judge: Judge
    judgement: Judgement
    class_ids: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(
        cls, judge: Judge, images: NDArray[np.uint8], class_ids: NDArray[np.int64], class_names: Sequence[str]
    ) -> HeldOut:
        """Lets a judge look at images.

        Args:
            judge: The judge.
            images: (N, H, W) uint8, grey.
            class_ids: (N,) int64, indices into `class_names`.
            class_names: Of the data.

        Raises:
            ValueError: The judge does not know a class.
        """
        unknown = [name for name in class_names if name not in judge.class_names]
        if unknown:
            raise ValueError(
                f"{judge.name} cannot judge images of {unknown[0]!r}; it knows {', '.join(judge.class_names[:20])}"
            )
        numbers = np.array([judge.class_names.index(name) for name in class_names], np.int64)
        return cls(judge, judge.look_at(images), numbers[class_ids], numbers)


def generate_evenly(
    model: ImageGenerator, count: int, seed: int = SEED, truncation: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Generates as many images of every class.

    Args:
        model: The generator.
        count: Images in all; rounded up to a multiple of the number of classes.
        seed: Of the first request; every further one of up to `MAX_GENERATED` images has the next seed.
        truncation: See `models.parameters.GenerationParameters`.

    Returns:
        (N, H, W) uint8, grey, and (N,) int64 class ids.
    """
    classes = len(model.class_names)
    each = -(-count // classes)
    images: list[NDArray[np.uint8]] = []
    for class_id in range(classes):
        for first in range(0, each, MAX_GENERATED):
            size = min(MAX_GENERATED, each - first)
            parameters = GenerationParameters(class_id, seed + len(images), size, truncation)
            images += model.forward([model.draw(parameters)])
    return np.concatenate(images), np.repeat(np.arange(classes), each)


def evaluate_generator(
    model: ImageGenerator, held_out: HeldOut, count: int, truncation: float = 1.0
) -> dict[str, float]:
    """Measures a generator.

    Args:
        model: What is served.
        held_out: Real images.
        count: Images to generate, see `generate_evenly`.
        truncation: Likewise.

    Returns:
        See `models.generation.quality.quality`.
    """
    images, class_ids = generate_evenly(model, count, truncation=truncation)
    return quality(held_out.judge.look_at(images), held_out.numbers[class_ids], held_out.judgement, held_out.class_ids)
