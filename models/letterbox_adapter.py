"""Base class of the adapters with letterbox preprocessing: decodes, resizes and pads, groups by shape, warms up."""

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np

from models.adapter import ModelInput, NetworkAdapter, RawOutput
from models.entries import CatalogEntry, LetterboxPreprocessing
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.imaging.letterbox import Letterbox
from models.parameters import Parameters
from models.predictions import Prediction
from models.runtime import Runtime

N = TypeVar("N")
P = TypeVar("P", bound=Parameters)
R = TypeVar("R", bound=Prediction)

_BLANK_LEVEL: Final = 114
_DECODE_MARGIN: Final = 2
"""A JPEG is decoded at a smaller scale only where each side keeps this many times the pixels that the resize needs.

Measured with YOLOX on EfficientNet-Lite0 on 100 photos with people, enlarged five times: AP 23.7 % with full decoding,
23.6 % at a margin of 2 and 23.5 % at 1."""
_USUAL_SHAPES: Final = ((3, 4), (4, 3), (1, 1), (2, 3), (3, 2), (9, 16), (16, 9))
"""Common aspect ratios of photos, (height, width), the most frequent first."""
_WARM_UP_SHAPES: Final = 2
"""Shapes of a warm-up by OpenVINO. Of each further one it would keep 7 MB of machine code a network, to save the first
image of that shape 30 ms."""
_WARM_UP_S: Final = 1.0
"""Time limit of the warm-up: after it, no further shape or batch size is run. The first run of a shape costs some 30 ms
more than later ones, and a machine may start eight models; a compiled network has no time limit."""


class LetterboxedAdapter(NetworkAdapter[N], ABC, Generic[N, P, R]):
    """Implements `models.adapter.Adapter` except `forward` and `postprocess`, which a subclass adds.

    Args: See `models.adapter.NetworkAdapter`.

    Attributes:
        usual_parameters: Request parameters where neither the request nor the entry sets them.
    """

    usual_parameters: P

    def __init__(
        self, entry: CatalogEntry, class_names: tuple[str, ...], runtime: Runtime, network: N, weights_digest: str
    ) -> None:
        super().__init__(entry, class_names, runtime, network, weights_digest)
        assert isinstance(entry.preprocessing, LetterboxPreprocessing)
        self._preprocessing = entry.preprocessing
        self._parameters: P = replace(self.usual_parameters, **entry.defaults)
        self._scale = 1.0

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`."""
        needed = self.short_side_needed(decoding.inspect(data, max_bytes=max_bytes, max_pixels=max_pixels).size)
        return decoding.decode(data, min_short_side=needed, max_bytes=max_bytes, max_pixels=max_pixels)

    def short_side_needed(self, image_size: tuple[int, int]) -> int:
        """See `models.adapter.DecodesToScale`."""
        return _DECODE_MARGIN * min(self._letterbox(image_size).resized_size)

    def preprocess(self, image: DecodedImage) -> ModelInput:
        """See `models.adapter.Adapter.preprocess`."""
        return ModelInput(self._letterbox(image.size).place(image.pixels), image.size)

    def at_scale(self, scale: float) -> Self:
        """Returns the same model with larger or smaller inputs; the two share the network.

        Args:
            scale: Of each side of the resized image, relative to the input that the model usually has.
        """
        other = copy.copy(self)
        other._scale = scale
        return other

    def mirrored(self, item: ModelInput) -> ModelInput:
        """Returns the input of the mirror image, left to right, with the padding where it was.

        Args:
            item: From `preprocess`.
        """
        width = self._letterbox(item.image_size).resized_size[1]
        pixels = item.pixels.copy()
        pixels[:, :width] = item.pixels[:, :width][:, ::-1]
        return ModelInput(pixels, item.image_size)

    @abstractmethod
    def forward(self, inputs: Sequence[ModelInput]) -> RawOutput:
        """See `models.adapter.Adapter.forward`."""

    @abstractmethod
    def postprocess(self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[P]) -> list[R]:
        """See `models.adapter.Adapter.postprocess`."""

    def predict(self, images: Sequence[bytes], parameters: P | None = None) -> list[R]:
        """See `models.adapter.Adapter.predict`."""
        inputs = [self.preprocess(self.decode(data)) for data in images]
        groups: dict[Hashable, list[int]] = {}
        for index, item in enumerate(inputs):
            groups.setdefault(item.batch_key, []).append(index)
        found: dict[int, Any] = {}
        for group in groups.values():
            found.update(zip(group, self.forward([inputs[index] for index in group]), strict=True))
        wanted = parameters or self._parameters
        return self.postprocess([found[index] for index in range(len(inputs))], inputs, [wanted] * len(inputs))

    def warm_up(self, max_batch_size: int) -> None:
        """See `models.adapter.Adapter.warm_up`; on a slow machine only the most frequent shapes are run.

        By OpenVINO, batches of one image only: it runs larger ones in passes of one or a few images, see
        `models.execution.openvino_executor`.
        """
        ends_at = time.monotonic() + _WARM_UP_S
        shapes, most = self.usual_input_sizes(), max_batch_size
        if self.runtime.backend == "openvino":
            shapes, most = shapes[:_WARM_UP_SHAPES], 1
        for batch_size in sorted({*(1 << power for power in range(most.bit_length())), most}):
            for shape in shapes:
                if time.monotonic() > ends_at and not self.runtime.compile:
                    return
                blank = ModelInput(np.full((*shape, 3), _BLANK_LEVEL, np.uint8), shape)
                self.forward([blank] * batch_size)

    def usual_input_sizes(self) -> list[tuple[int, int]]:
        """(height, width) of the network's inputs for photos of the common aspect ratios, without duplicates."""
        side = self._preprocessing.long_side
        sizes = (self._letterbox((side * height, side * width)).input_size for height, width in _USUAL_SHAPES)
        return list(dict.fromkeys(sizes))

    def _letterbox(self, image_size: tuple[int, int]) -> Letterbox:
        """The letterbox of an image; a compiled network gets one square shape, or it would be compiled for dozens."""
        return Letterbox.fit(image_size, self._preprocessing, square=self.runtime.compile, scale=self._scale)
