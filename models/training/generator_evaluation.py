"""The evaluation of `tapetum generate evaluate`: a generator beside real images and noise, by the same judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.generation.evaluation import HeldOut, generate_evenly
from models.generation.image_generator import ImageGenerator
from models.generation.judge import Judge, Judgement
from models.generation.networks import SIDE
from models.generation.quality import diversities, quality
from models.training.class_data import read_class_data
from models.training.generator_examples import Examples, read_examples

_VAL_SHARE: Final = 0.2
"""Of data without a val split; as `tapetum train generator` has it."""


@dataclass(frozen=True, eq=False)
class GeneratorFigures:
    """What an evaluation found.

    Attributes:
        data: Name of the data set.
        judge: Name of the classifier whose features were compared.
        counts: Images by row: `generated`, `train`, `noise`, and `val`, with which each of them was compared.
        rows: By `generated`, `train` (images to learn from: the floor) and `noise` (uniform, of every pixel: the
            ceiling) the figures of `models.generation.quality.quality`.
        classes: By class name: `agreement` and `diversity` of the generated images of that class.
    """

    data: str
    judge: str
    counts: dict[str, int]
    rows: dict[str, dict[str, float]]
    classes: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dict(vars(self))


def compare_with_real(
    model: ImageGenerator, data: Path, judge: Judge, count: int, truncation: float = 1.0, seed: int = 0
) -> GeneratorFigures:
    """Measures generated images, as many images to learn from, and as many of noise, against held-out images.

    Args:
        model: The generator, as it is served.
        data: Images by class, see `models.training.class_data.read_class_data`.
        judge: A classifier with these classes.
        count: Images to generate; rounded up to a multiple of the number of classes.
        truncation: See `models.parameters.GenerationParameters`.
        seed: Of the generated images, of the noise, and of the choice of images to learn from.

    Raises:
        DatasetError: The data cannot be used.
        ValueError: The judge does not know a class, or the data's classes are not the model's.
    """
    listed = read_class_data(data, _VAL_SHARE, seed)
    if listed.class_names != model.class_names:
        raise ValueError(
            f"{data} has the classes {', '.join(listed.class_names[:20])}, and {model.entry.name} generates "
            f"{', '.join(model.class_names[:20])}"
        )
    val = read_examples(listed.val)
    held_out = HeldOut.of(judge, val.images, val.class_ids, listed.class_names)
    images, class_ids = generate_evenly(model, count, seed, truncation)
    rng = np.random.default_rng(seed)
    order: list[int] = rng.permutation(len(listed.train))[: len(images)].tolist()
    sets = {
        "generated": Examples(images, class_ids),
        "train": read_examples([listed.train[index] for index in order]),
        "noise": Examples(rng.integers(256, size=(len(images), SIDE, SIDE), dtype=np.uint8), class_ids),
    }
    seen = {name: judge.look_at(examples.images) for name, examples in sets.items()}
    asked = {name: held_out.numbers[examples.class_ids] for name, examples in sets.items()}
    return GeneratorFigures(
        listed.name,
        judge.name,
        {**{name: len(examples) for name, examples in sets.items()}, "val": len(val)},
        {name: quality(seen[name], asked[name], held_out.judgement, held_out.class_ids) for name in sets},
        _by_class(seen["generated"], asked["generated"], held_out, judge.class_names),
    )


def _by_class(
    seen: Judgement, asked: NDArray[np.int64], held_out: HeldOut, class_names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    spreads = diversities(seen.features, asked, held_out.judgement.features, held_out.class_ids)
    return {
        class_names[class_id]: {
            "agreement": float((seen.class_ids[asked == class_id] == class_id).mean()),
            "diversity": spread,
        }
        for class_id, spread in spreads.items()
    }
