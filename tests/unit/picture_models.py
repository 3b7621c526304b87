"""A catalog with two experimental models of random weights: a stylizer of one convolution, and a small DCGAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.adapter import ModelInput, RawOutput
from models.catalog.cards import write_card
from models.catalog.filled_networks import filled
from models.entries import CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.entries.latent_preprocessing import LatentPreprocessing
from models.generation.networks import DCGAN, Generator
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import StyleParameters
from models.predictions import Picture
from models.runtime import Runtime

STYLIZER, GENERATOR = "tiny-style", "tiny-digits"
_NOBODY = WeightsSource("card", "", None, "CC0-1.0", "made for a test")
_STYLE = CatalogEntry(
    name=STYLIZER,
    version="1",
    task="stylization",
    architecture="tiny-style-net",
    weights=_NOBODY,
    preprocessing=LetterboxPreprocessing(256, 256, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), stride=1, enlarge=False),
    class_count=1,
    licence="Apache-2.0",
    accuracy=(),
    description="One convolution.",
    defaults={},
    class_names=("noise",),
)
_DIGITS = replace(
    _STYLE,
    name=GENERATOR,
    task="generation",
    architecture=DCGAN,
    preprocessing=LatentPreprocessing(5, 28, 28),
    class_count=3,
    class_names=("zero", "one", "7"),
    arguments={"latent_size": 5, "width": 2},
)


class TinyStylizer:
    """A `models.adapter.Adapter` of a convolution."""

    def __init__(self, entry: CatalogEntry, runtime: Runtime) -> None:
        self.entry, self.runtime = entry, runtime
        self.class_names = entry.class_names or ()
        self._network, self.weights_digest = filled(entry, _convolution, ("tiny-style-net",))

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        return decoding.decode(data, max_bytes=max_bytes, max_pixels=max_pixels)

    def preprocess(self, image: DecodedImage) -> ModelInput:
        return ModelInput(image.pixels, image.size)

    @torch.inference_mode()
    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.uint8]:
        pixels = torch.from_numpy(np.stack([item.pixels for item in inputs])).permute(0, 3, 1, 2) / 255
        painted = self._network(pixels).sigmoid() * 255
        return painted.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[StyleParameters]
    ) -> list[Picture]:
        return [
            Picture((told.strength * painted + (1 - told.strength) * item.pixels).round().astype(np.uint8))
            for painted, item, told in zip(raw, inputs, parameters, strict=True)
        ]

    def warm_up(self, max_batch_size: int) -> None:
        self.forward([ModelInput(np.zeros((8, 8, 3), np.uint8), (8, 8))])


def _convolution(_architecture: str, _class_count: int, _arguments: Any) -> nn.Module:
    return nn.Conv2d(3, 3, 3, padding=1)


def write_picture_models(folder: Path) -> Path:
    """Writes the cards and the weights of both; the loader of the stylizer is `TinyStylizer`."""
    torch.manual_seed(0)
    write_card(folder, _STYLE, nn.Conv2d(3, 3, 3, padding=1).state_dict())
    network = Generator(3, 5, 2)
    for parameter in network.parameters():
        nn.init.normal_(parameter)  # so that classes differ
    write_card(folder, _DIGITS, network.state_dict())
    return folder
