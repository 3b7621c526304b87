"""Runs a batch so that an image for which the network gives NaN or infinity fails alone."""

from collections.abc import Sequence
from typing import Any

from models.adapter import Adapter, ModelInput, RawOutput
from models.errors import NotANumber


def forward_apart(adapter: Adapter[Any, Any], inputs: Sequence[ModelInput]) -> RawOutput:
    """Runs the network over a batch, and over the rest of it where there is no number for some.

    Args:
        adapter: The model.
        inputs: As for `models.adapter.Adapter.forward`.

    Returns:
        One element for every input, in the same order; a `NotANumber` where the network gives none.
    """
    try:
        return adapter.forward(inputs)
    except NotANumber as error:
        failed = set(error.images)
        rest = [item for index, item in enumerate(inputs) if index not in failed]
        raw = iter(forward_apart(adapter, rest)) if rest else iter(())
        return [NotANumber((0,)) if index in failed else next(raw) for index in range(len(inputs))]
