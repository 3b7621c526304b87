"""Detects NaN and infinity in the output of a network, before a score threshold hides them."""

from torch import Tensor

from models.errors import NonFiniteOutput


def require_finite(*outputs: Tensor) -> None:
    """Checks the output of a network.

    Args:
        outputs: Floats of any shape, on any device.

    Raises:
        NonFiniteOutput: One of them holds NaN or infinity.
    """
    for output in outputs:
        # The sum is not finite where a number is not, and costs less than a tenth of looking at each.
        if not output.sum().isfinite() and not output.isfinite().all():
            raise NonFiniteOutput
