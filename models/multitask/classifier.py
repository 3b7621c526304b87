"""The classification part of a multi-task network: whole images, letterboxed as for its other parts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adapter import ClassificationParameters, ModelInput, RawOutput
from models.classification.ranking import most_probable
from models.entries import CatalogEntry
from models.execution.staging import stack
from models.letterbox_adapter import LetterboxedAdapter
from models.multitask.outputs import MultitaskNetwork
from models.predictions import Classification
from models.runtime import Runtime


class CountClassifier(LetterboxedAdapter[ClassificationParameters, Classification]):
    """The classification part of a multi-task network, as an `models.adapter.Adapter`.

    Args:
        entry: Its catalog entry.
        class_names: One for every class id.
        runtime: Where and how it runs, resolved.
        network: The whole network.
        weights_digest: sha256 in hex of the file that its weights came from.
    """

    def __init__(
        self,
        entry: CatalogEntry,
        class_names: tuple[str, ...],
        runtime: Runtime,
        network: MultitaskNetwork,
        weights_digest: str,
    ) -> None:
        super().__init__(entry, class_names, runtime, weights_digest, ClassificationParameters())
        self._network = network

    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, class_count) float32 probabilities.
        """
        found = self._network.run(stack([item.pixels for item in inputs], self.runtime), {"classification"})
        return np.stack([image["classification"] for image in found])

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[ClassificationParameters]
    ) -> list[Classification]:
        """See `models.adapter.Adapter.postprocess`."""
        return most_probable(raw, inputs, parameters)
