"""Detects NaN and infinity in the output of a network, before a score threshold hides them."""

import torch
from torch import Tensor

from models.errors import NonFiniteOutput


def require_finite(*outputs: Tensor) -> None:
    """Checks the output of a network.

    Args:
        outputs: Of any shape, on one device. Integers are always finite.

    Raises:
        NonFiniteOutput: One of them holds NaN or infinity.
    """
    # A sum is not finite where a number is not, and costs less than a tenth of looking at each. There is one result to
    # wait for on a GPU.
    floats = [output for output in outputs if output.is_floating_point()]
    sums = torch.stack([output.sum() for output in floats]) if floats else torch.zeros(0)
    if not sums.isfinite().all() and not all(output.isfinite().all() for output in floats):
        raise NonFiniteOutput
