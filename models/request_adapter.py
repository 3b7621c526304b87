"""Chooses the adapter of a request: the model's, one with augmentation or for proposals, or of a generator."""

from typing import Any

from models.adapter import Adapter
from models.augmentation.augmented import Augmented
from models.detection.proposed_detector import ProposedDetector
from models.multitask.model import MultitaskModel
from models.parameters import GenerationParameters, MultitaskParameters


def adapter_for(
    adapter: Adapter[Any, Any], augmented: Augmented[Any, Any] | None, parameters: Any
) -> Adapter[Any, Any]:
    """Returns the adapter that answers a request.

    Args:
        adapter: The model.
        augmented: The same with augmentation; None where there is none for it.
        parameters: Of the request; kinds without augmentation have no `augment` in theirs.

    Raises:
        InvalidProposals: The request has proposals, and the model takes none.
    """
    if isinstance(parameters, GenerationParameters):
        from models.generation.requested_generator import RequestedGenerator  # experimental: only where one is served

        return RequestedGenerator(adapter, parameters)  # pyright: ignore[reportArgumentType]  # the kind's adapter
    if isinstance(adapter, MultitaskModel) and isinstance(parameters, MultitaskParameters):
        return adapter.narrowed(parameters)
    if getattr(parameters, "proposals", None) is not None:
        return ProposedDetector(adapter, parameters)
    return augmented if augmented is not None and getattr(parameters, "augment", False) else adapter
