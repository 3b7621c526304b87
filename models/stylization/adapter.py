"""The adapter of style networks: a photo, reduced to the network's limit, to a stylized picture of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.adapter import ModelInput, NetworkAdapter, RawOutput
from models.entries import LetterboxPreprocessing
from models.execution.external import NetworkExecutor
from models.execution.staging import stack
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import StyleParameters
from models.predictions import Picture
from models.stylization.network import LEAST_SIDE, STRIDE
from models.stylization.photos import reduced

_WHITE: Final = 255.0
_BLANK_LEVEL: Final = 127
_WARM_UP_SIDE: Final = 256
"""Side of the blank image of the first run in pixels."""


class Stylizer(NetworkAdapter[NetworkExecutor]):
    """A style network as an `models.adapter.Adapter`.

    Photos of any size are taken: those with a longer side than the card's `long_side` are reduced to it, and the answer
    has that size. Photos share a batch where their sizes, padded to a multiple of `STRIDE`, are equal. The network
    goes from (N, H, W, 3) pixels to (N, 3, H, W), 0 to 1.
    """

    @property
    def _long_side(self) -> int:
        assert isinstance(self.entry.preprocessing, LetterboxPreprocessing)
        return self.entry.preprocessing.long_side

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`."""
        return decoding.decode(data, min_short_side=self._long_side, max_bytes=max_bytes, max_pixels=max_pixels)

    def preprocess(self, image: DecodedImage) -> ModelInput:
        """See `models.adapter.Adapter.preprocess`; the edges are repeated to a multiple of `STRIDE`."""
        pixels = reduced(image.pixels, self._long_side)
        height, width = pixels.shape[:2]
        below, right = (max(LEAST_SIDE, -(-side // STRIDE) * STRIDE) - side for side in (height, width))
        padded = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        return ModelInput(np.ascontiguousarray(padded), (height, width))

    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, H, W, 3) float32 RGB, 0 to 255, of the padded size.
        """
        found = self.network.run(stack([item.pixels for item in inputs], self.runtime))
        return (found.permute(0, 2, 3, 1) * _WHITE).cpu().numpy()

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[StyleParameters]
    ) -> list[Picture]:
        """See `models.adapter.Adapter.postprocess`."""
        return [
            _mixed(stylized, item, wanted.strength)
            for stylized, item, wanted in zip(raw, inputs, parameters, strict=True)
        ]

    def predict(self, images: Sequence[bytes], parameters: StyleParameters | None = None) -> list[Picture]:
        """See `models.adapter.Adapter.predict`; images may differ in size."""
        wanted = parameters or StyleParameters(**self.entry.defaults)
        inputs = [self.preprocess(self.decode(data)) for data in images]
        return [self.postprocess(self.forward([item]), [item], [wanted])[0] for item in inputs]

    def warm_up(self, max_batch_size: int) -> None:
        """See `models.adapter.Adapter.warm_up`."""
        blank = np.full((_WARM_UP_SIDE, _WARM_UP_SIDE, 3), _BLANK_LEVEL, np.uint8)
        self.forward([ModelInput(blank, blank.shape[:2])])


def _mixed(stylized: NDArray[np.float32], item: ModelInput, strength: float) -> Picture:
    height, width = item.image_size
    photo = item.pixels[:height, :width].astype(np.float32)
    mixed = photo + strength * (stylized[:height, :width] - photo)
    return Picture(np.clip(mixed.round(), 0, _WHITE).astype(np.uint8))
