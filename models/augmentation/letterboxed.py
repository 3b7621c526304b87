"""Views of models with letterbox preprocessing: the image at several sizes, and its mirror images."""

from typing import Any, Generic, TypeVar

from models.adapter import Parameters
from models.augmentation.augmented import Augmented, AugmentedInput, View
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.letterbox_adapter import LetterboxedAdapter
from models.predictions import Prediction

P = TypeVar("P", bound=Parameters)
R = TypeVar("R", bound=Prediction)


class LetterboxedViews(Augmented[P, R], Generic[P, R]):
    """Makes the views of a detector or a segmenter: every scale, plain and mirrored.

    Args:
        adapter: The model.
        scales: Of the views, relative to the usual input, the usual one first.
        mirror: Whether each has a mirror image, too.
        max_batch_size: The most views in one run of the network.
    """

    def __init__(
        self, adapter: LetterboxedAdapter[P, R], scales: tuple[float, ...], mirror: bool, max_batch_size: int
    ) -> None:
        super().__init__(adapter, max_batch_size)
        self._scaled: dict[float, Any] = {scale: adapter.at_scale(scale) for scale in scales}
        self._mirror = mirror

    @property
    def view_count(self) -> int:
        """See `Augmented.view_count`."""
        return len(self._scaled) * (1 + self._mirror)

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`: at a scale that suffices for the largest view."""
        return self._scaled[max(self._scaled)].decode(data, max_bytes=max_bytes, max_pixels=max_pixels)

    def preprocess(self, image: DecodedImage) -> AugmentedInput:
        """See `Augmented.preprocess`."""
        views: list[Any] = []
        for scale, adapter in self._scaled.items():
            plain = adapter.preprocess(image)
            views.append((View(scale), plain))
            if self._mirror:
                views.append((View(scale, mirrored=True), adapter.mirrored(plain)))
        return AugmentedInput.of(views)
