"""Views of models with letterbox preprocessing: the image at several sizes, and its mirror image."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from models.augmentation.augmented import Augmented, AugmentedInput, View
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.letterbox_adapter import LetterboxedAdapter
from models.parameters import Parameters
from models.predictions import Prediction

P = TypeVar("P", bound=Parameters)
R = TypeVar("R", bound=Prediction)


class LetterboxedViews(Augmented[P, R], Generic[P, R]):
    """Makes the views of a detector or a segmenter.

    Args:
        adapter: The model.
        views: How each view is made, the usual input first.
        max_batch_size: The most views in one run of the network.
    """

    def __init__(self, adapter: LetterboxedAdapter[Any, P, R], views: Sequence[View], max_batch_size: int) -> None:
        super().__init__(adapter, max_batch_size)
        self._views = tuple(views)
        self._scaled: dict[float, Any] = {view.scale: adapter.at_scale(view.scale) for view in views}

    @property
    def view_count(self) -> int:
        """See `Augmented.view_count`."""
        return len(self._views)

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`: at a scale that suffices for the largest view."""
        return self._scaled[max(self._scaled)].decode(data, max_bytes=max_bytes, max_pixels=max_pixels)

    def short_side_needed(self, image_size: tuple[int, int]) -> int:
        """See `models.adapter.DecodesToScale`."""
        return self._scaled[max(self._scaled)].short_side_needed(image_size)

    def preprocess(self, image: DecodedImage) -> AugmentedInput:
        """See `Augmented.preprocess`."""
        plain = {scale: adapter.preprocess(image) for scale, adapter in self._scaled.items()}
        return AugmentedInput.of(
            [
                (view, self._scaled[view.scale].mirrored(plain[view.scale]) if view.mirrored else plain[view.scale])
                for view in self._views
            ]
        )
