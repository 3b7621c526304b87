"""The adapter of conditional generators: seed and class to latent vectors, network, grey images, a grid of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.adapter import ModelInput, NetworkAdapter, RawOutput
from models.entries import CatalogEntry
from models.entries.latent_preprocessing import LatentPreprocessing
from models.execution.finite import require_finite
from models.generation.latents import draw_latents
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import GenerationParameters
from models.predictions import Picture
from models.runtime import Runtime

_WHITE: Final = 255.0


@dataclass(frozen=True, eq=False)
class LatentInput(ModelInput):
    """Latent vectors and classes of the images of one request.

    Attributes:
        pixels: (count, latent_size) float32, latent vectors.
        image_size: (height, width) of one image in pixels.
        class_ids: (count,) int64.
    """

    class_ids: NDArray[np.int64]

    @property
    def view_count(self) -> int:
        """Images that go through the network."""
        return len(self.class_ids)

    @property
    def pixel_count(self) -> int:
        """Pixels of all images."""
        return len(self.class_ids) * self.image_size[0] * self.image_size[1]


class ImageGenerator(NetworkAdapter[nn.Module]):
    """A conditional generator as an `models.adapter.Generator`.

    It has a million parameters, so that torch runs it in float32 on any device. Every image goes through the
    network alone: so it does not depend, by rounding, on what else is in the batch.

    Args:
        entry: Its catalog entry.
        class_names: One for every class id.
        runtime: Where it runs, resolved.
        network: In evaluation mode, from (N, latent_size) and (N,) class ids to (N, 1, H, W), -1 to 1.
        weights_digest: sha256 in hex of the file that its weights came from.
    """

    def __init__(
        self,
        entry: CatalogEntry,
        class_names: tuple[str, ...],
        runtime: Runtime,
        network: nn.Module,
        weights_digest: str,
    ) -> None:
        runtime = replace(runtime, precision="fp32", backend="torch")
        super().__init__(entry, class_names, runtime, network.to(runtime.device), weights_digest)
        assert isinstance(entry.preprocessing, LatentPreprocessing)
        self._preprocessing = entry.preprocessing
        self._device = torch.device(runtime.device)

    def draw(self, parameters: GenerationParameters) -> LatentInput:
        """See `models.adapter.Generator.draw`.

        Raises:
            ValueError: The class is none of the model's.
        """
        if parameters.class_id is not None and parameters.class_id >= len(self.class_names):
            raise ValueError(f"class_id must be from 0 to {len(self.class_names) - 1}, not {parameters.class_id}")
        vectors, class_ids = draw_latents(parameters, self._preprocessing.latent_size, len(self.class_names))
        return LatentInput(vectors, self._preprocessing.largest_size, class_ids)

    @torch.inference_mode()
    def forward(self, inputs: Sequence[ModelInput]) -> list[NDArray[np.uint8]]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            For every input (count, H, W) uint8, grey.
        """
        return [self._images(item) for item in _drawn(inputs)]

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[GenerationParameters]
    ) -> list[Picture]:
        """See `models.adapter.Adapter.postprocess`."""
        return [
            Picture.grid(np.repeat(images[..., None], 3, axis=3), item.class_ids.tolist())
            for images, item in zip(raw, _drawn(inputs), strict=True)
        ]

    def generate(self, parameters: GenerationParameters) -> Picture:
        """Draws, runs the network and joins the images, all in the calling thread.

        Args:
            parameters: Of the images.

        Raises:
            ValueError: The class is none of the model's.
            NonFiniteOutput: The network returned NaN or infinity.
        """
        inputs = [self.draw(parameters)]
        (picture,) = self.postprocess(self.forward(inputs), inputs, [parameters])
        return picture

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """Refuses: a generator takes no image, see `models.adapter.Generator`."""
        self._refuse()

    def preprocess(self, image: DecodedImage) -> ModelInput:
        """Refuses: `draw` takes its place."""
        self._refuse()

    def predict(self, images: Sequence[bytes], parameters: GenerationParameters | None = None) -> list[Picture]:
        """Refuses: `generate` takes its place."""
        self._refuse()

    def warm_up(self, max_batch_size: int) -> None:
        """See `models.adapter.Adapter.warm_up`."""
        self.forward([self.draw(GenerationParameters())])

    def _images(self, item: LatentInput) -> NDArray[np.uint8]:
        vectors = torch.as_tensor(item.pixels).to(self._device)
        class_ids = torch.as_tensor(item.class_ids).to(self._device)
        made: list[Any] = [
            self.network(vectors[number : number + 1], class_ids[number : number + 1])
            for number in range(len(class_ids))
        ]
        images = torch.cat(made)[:, 0]
        require_finite(images)
        return ((images + 1) * (_WHITE / 2)).round().to(torch.uint8).cpu().numpy()

    def _refuse(self) -> NoReturn:
        raise ValueError(f"{self.entry.name} takes no image: it generates images from a seed and a class")


def _drawn(inputs: Sequence[ModelInput]) -> list[LatentInput]:
    """The inputs, which `ImageGenerator.draw` made."""
    return [item for item in inputs if isinstance(item, LatentInput)]
