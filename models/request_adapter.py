"""Chooses the adapter of a request: the model's, one with augmentation or for proposals, or of a generator."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.adapter import Adapter, GenerationParameters, Generator, ModelInput, MultitaskParameters, RawOutput
from models.augmentation.augmented import Augmented
from models.detection.proposed_detector import ProposedDetector
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.multitask.model import MultitaskModel
from models.predictions import Picture

_NO_IMAGE: Final = DecodedImage(np.zeros((0, 0, 3), np.uint8), (0, 0))


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
        return RequestedGenerator(adapter, parameters)  # pyright: ignore[reportArgumentType]  # the kind's adapter
    if isinstance(adapter, MultitaskModel) and isinstance(parameters, MultitaskParameters):
        return adapter.narrowed(parameters)
    if getattr(parameters, "proposals", None) is not None:
        return ProposedDetector(adapter, parameters)
    return augmented if augmented is not None and getattr(parameters, "augment", False) else adapter


class RequestedGenerator(Adapter[GenerationParameters, Picture]):
    """A generator for one request: the input of its network is drawn by the parameters; bytes are not read.

    Args:
        generator: The model.
        parameters: Of the request whose input `preprocess` draws. `forward` and `postprocess` do not depend on them.
    """

    def __init__(self, generator: Generator, parameters: GenerationParameters) -> None:
        self._generator = generator
        self._parameters = parameters
        self.entry = generator.entry
        self.class_names = generator.class_names
        self.runtime = generator.runtime
        self.weights_digest = generator.weights_digest

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """Returns no pixels."""
        return _NO_IMAGE

    def preprocess(self, image: DecodedImage) -> ModelInput:
        """Draws the latent vectors of the request."""
        return self._generator.draw(self._parameters)

    def forward(self, inputs: Sequence[ModelInput]) -> RawOutput:
        """See `models.adapter.Adapter.forward`."""
        return self._generator.forward(inputs)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[GenerationParameters]
    ) -> Sequence[Picture]:
        """See `models.adapter.Adapter.postprocess`."""
        return self._generator.postprocess(raw, inputs, parameters)

    def predict(self, images: Sequence[bytes], parameters: GenerationParameters | None = None) -> list[Picture]:
        """See `models.adapter.Adapter.predict`: one picture for each element, whatever its bytes."""
        wanted = parameters or self._parameters
        inputs = [self._generator.draw(wanted) for _ in images]
        return list(self.postprocess(self.forward(inputs), inputs, [wanted] * len(inputs))) if inputs else []

    def warm_up(self, max_batch_size: int) -> None:
        """The generator is warm."""
