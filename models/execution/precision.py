"""Checks a network in reduced precision against float32 when it is loaded, on the device that runs it."""

from collections.abc import Sequence
from math import inf, isfinite
from typing import Final

import torch
from torch import Tensor

from models.entries import LetterboxPreprocessing, Preprocessing
from models.errors import NonFiniteOutput, PrecisionTooLow
from models.execution.external import NetworkExecutor
from models.runtime import Runtime

TOLERANCES: Final = {"bf16": 0.2, "fp16": 0.05}
"""The largest `deviation` from float32. By rounding, the bundled models have up to 0.085 in bf16 and 0.009 in fp16 (on
a CPU); an overflow or a wrong kernel gives far more, or NaN."""
_EXAMPLE_SIDE: Final = 50


def require_precision(
    reduced: NetworkExecutor, full: NetworkExecutor, pictures: Sequence[Tensor], runtime: Runtime
) -> None:
    """Runs both on test pictures and compares their outputs.

    Args:
        reduced: The network in the precision of the runtime.
        full: The same network in float32.
        pictures: From `examples`.
        runtime: A resolved runtime of reduced precision.

    Raises:
        PrecisionTooLow: The outputs differ by more than rounding, or are not finite.
    """
    for pixels in pictures:
        expected = full.run_all(pixels.numpy())
        try:
            differ_by = deviation(expected, reduced.run_all(pixels.numpy()))
        except NonFiniteOutput:
            differ_by = inf
        if not differ_by <= TOLERANCES[runtime.precision]:
            raise PrecisionTooLow(f"{runtime.precision} on {runtime.device} differs from fp32 by {differ_by:.1%}")


def deviation(expected: Sequence[Tensor], outputs: Sequence[Tensor]) -> float:
    """Compares the outputs of a network with those that are expected.

    Args:
        expected: Of any shapes.
        outputs: As many, on the same device.

    Returns:
        The largest root mean square of the differences of an output, relative to that of its expected values; infinity
        where an output is not finite, or has another shape, as the found objects of a network may have.
    """
    worst = 0.0
    for one, other in zip(expected, outputs, strict=True):
        if one.shape != other.shape:
            return inf
        error, total = (values.square().sum() for values in (other.double() - one.double(), one.double()))
        ratio = float(error / total.clamp(min=1e-30))
        worst = max(worst, ratio**0.5 if isfinite(ratio) else inf)
    return worst


def examples(preprocessing: Preprocessing | LetterboxPreprocessing) -> tuple[Tensor, Tensor]:
    """Makes test pictures: two batches of different sizes, and of different shapes where a model has several.

    Args:
        preprocessing: Of the model.

    Returns:
        Two batches, each (N, H, W, 3) uint8 of noise.
    """
    height, width = preprocessing.largest_size
    others = height, width
    if isinstance(preprocessing, LetterboxPreprocessing) and not preprocessing.fixed_size:
        side = -(-_EXAMPLE_SIDE // preprocessing.stride) * preprocessing.stride
        (height, width), others = (2 * side, 3 * side), (3 * side, 2 * side)
    generator = torch.Generator().manual_seed(0)
    shapes = (2, height, width, 3), (1, *others, 3)
    one, other = (torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for shape in shapes)
    return one, other


def single_examples(preprocessing: Preprocessing | LetterboxPreprocessing) -> tuple[Tensor, Tensor]:
    """Makes test pictures for networks whose outputs may have no batch dimension: as `examples`, one image each."""
    one, other = examples(preprocessing)
    return one[:1], other
