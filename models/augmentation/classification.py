"""Augmentation of classifiers: five crops and their mirror images, as AlexNet's authors tested it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adapter import ModelInput, RawOutput
from models.augmentation.augmented import Augmented, AugmentedInput, View
from models.classification.classifier import Classifier
from models.entries import Preprocessing
from models.imaging.decoding import DecodedImage
from models.parameters import ClassificationParameters
from models.predictions import Classification


class AugmentedClassifier(Augmented[ClassificationParameters, Classification]):
    """Averages the probabilities of the centre, the four corners, and their mirror images.

    Krizhevsky, Sutskever & Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.

    Args:
        adapter: The model.
        mirror: Whether mirror images count; not of letters and digits.
        max_batch_size: The most views in one run of the network.
    """

    def __init__(self, adapter: Classifier, mirror: bool, max_batch_size: int) -> None:
        super().__init__(adapter, max_batch_size)
        self._classifier = adapter
        self._mirror = mirror

    @property
    def view_count(self) -> int:
        """See `Augmented.view_count`: where the short side is that of a crop, at most three crops differ."""
        preprocessing = self.entry.preprocessing
        assert isinstance(preprocessing, Preprocessing)
        crops = 3 if preprocessing.resize == preprocessing.crop else 5
        return 2 * crops if self._mirror else crops

    def preprocess(self, image: DecodedImage) -> AugmentedInput:
        """See `Augmented.preprocess`."""
        crops = self._classifier.five_crops(image)
        views = [(View(), crop) for crop in crops]
        if self._mirror:
            turned = [np.ascontiguousarray(crop.pixels[:, ::-1]) for crop in crops]
            views += [(View(mirrored=True), ModelInput(pixels, image.size)) for pixels in turned]
        return AugmentedInput.of(views)

    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (N, class_count) float32 probabilities, averaged over the views.
        """
        return np.stack([np.mean(views, axis=0, dtype=np.float64) for views in self._run_all(inputs)], dtype=np.float32)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[ClassificationParameters]
    ) -> Sequence[Classification]:
        """See `models.adapter.Adapter.postprocess`."""
        return self._classifier.postprocess(raw, inputs, parameters)
