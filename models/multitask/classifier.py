"""The classification part of a multi-task network: whole images, letterboxed as for its other parts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adapter import ModelInput, RawOutput
from models.classification.ranking import most_probable
from models.execution.staging import stack
from models.letterbox_adapter import LetterboxedAdapter
from models.multitask.outputs import MultitaskNetwork
from models.parameters import ClassificationParameters
from models.predictions import Classification


class CountClassifier(LetterboxedAdapter[MultitaskNetwork, ClassificationParameters, Classification]):
    """The classification part of a multi-task network, as an `models.adapter.Adapter`."""

    usual_parameters = ClassificationParameters()

    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, class_count) float32 probabilities.
        """
        found = self.network.run(stack([item.pixels for item in inputs], self.runtime), {"classification"})
        return np.stack([image["classification"] for image in found])

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[ClassificationParameters]
    ) -> list[Classification]:
        """See `models.adapter.Adapter.postprocess`."""
        return most_probable(raw, inputs, parameters)
