"""The classification part of a multi-task network: whole images, letterboxed as for its other parts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adapter import ClassificationParameters, ModelInput, RawOutput
from models.classification.ranking import most_probable
from models.entries import CatalogEntry
from models.execution.external import NetworkExecutor
from models.execution.staging import stack
from models.letterbox_adapter import LetterboxedAdapter
from models.predictions import Classification
from models.runtime import Runtime


class LetterboxedClassifier(LetterboxedAdapter[ClassificationParameters, Classification]):
    """A classification network that takes whole images, as an `models.adapter.Adapter`.

    Args:
        entry: Its catalog entry.
        class_names: One for every class id.
        runtime: Where and how it runs, resolved.
        executor: Runs the network, from (N, H, W, 3) pixels to (N, class_count) logits.
        weights_digest: sha256 in hex of the file that its weights came from.
    """

    def __init__(
        self,
        entry: CatalogEntry,
        class_names: tuple[str, ...],
        runtime: Runtime,
        executor: NetworkExecutor,
        weights_digest: str,
    ) -> None:
        super().__init__(entry, class_names, runtime, weights_digest, ClassificationParameters())
        self._executor = executor

    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, class_count) float32 probabilities.
        """
        logits = self._executor.run(stack([item.pixels for item in inputs], self.runtime))
        return logits.softmax(dim=1).cpu().numpy()

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[ClassificationParameters]
    ) -> list[Classification]:
        """See `models.adapter.Adapter.postprocess`."""
        return most_probable(raw, inputs, parameters)
