"""A generator for one request, as an adapter."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.adapter import Adapter, Generator, ModelInput, RawOutput
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import GenerationParameters
from models.predictions import Picture

_NO_IMAGE: Final = DecodedImage(np.zeros((0, 0, 3), np.uint8), (0, 0))


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
