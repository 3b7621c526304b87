"""The adapter of classifiers of signals: decode numbers, normalise, logits, softmax."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.adapter import ModelInput, NetworkAdapter
from models.classification.ranking import RankingAdapter
from models.entries import CatalogEntry
from models.entries.signal_preprocessing import SignalPreprocessing
from models.execution.finite import require_finite
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.runtime import Runtime
from models.signals.decoding import decode_signal


class SignalClassifier(NetworkAdapter[nn.Module], RankingAdapter):
    """A network for signals as an `models.adapter.Adapter`: a signal is an image of height 1.

    It has a few thousand parameters, so that torch runs it in float32 on any device.

    Args:
        entry: Its catalog entry.
        class_names: One for every class id.
        runtime: Where it runs, resolved.
        network: In evaluation mode, from (N, 1, length) to (N, class_count) logits.
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
        assert isinstance(entry.preprocessing, SignalPreprocessing)
        self._preprocessing = entry.preprocessing
        self._device = torch.device(runtime.device)

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`; the pixels are (1, length) float32."""
        values = decode_signal(data, self._preprocessing.length, max_bytes)
        return DecodedImage(values[None], (1, len(values)))

    def preprocess(self, image: DecodedImage) -> ModelInput:
        """See `models.adapter.Adapter.preprocess`."""
        return ModelInput(self._preprocessing.normalise(image.pixels), image.size)

    @torch.inference_mode()
    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, class_count) float32 probabilities.
        """
        signals = torch.as_tensor(np.stack([item.pixels for item in inputs])).to(self._device)
        logits = self.network(signals)
        require_finite(logits)
        return logits.softmax(dim=1).cpu().numpy()

    def warm_up(self, max_batch_size: int) -> None:
        """See `models.adapter.Adapter.warm_up`."""
        length = self._preprocessing.length
        self.forward([ModelInput(np.zeros((1, length), np.float32), (1, length))] * max_batch_size)
