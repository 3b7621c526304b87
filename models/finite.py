"""Numbers that are no numbers: found where a network gives them, before a threshold drops them without a word."""

from torch import Tensor

from models.errors import NonFiniteOutput


def require_finite(*outputs: Tensor) -> None:
    """Checks what a network gave.

    Args:
        outputs: Floats of any shape, on any device.

    Raises:
        NonFiniteOutput: One of them holds NaN or infinity.
    """
    for output in outputs:
        # The sum is not finite where a number is not, and costs less than a tenth of looking at each.
        if not output.sum().isfinite() and not output.isfinite().all():
            raise NonFiniteOutput
