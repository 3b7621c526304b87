"""Test-time augmentation of any adapter: predicts several views of an image and merges their outputs.

    DecodedImage ─ preprocess ─► views of it ─ forward, each of them ─► their outputs ─ merge ─► Prediction

A view is a crop, the mirror image, or the image at another size. `Augmented` is an adapter itself, so that whatever
runs adapters runs it too. A kind adds how its views are made and merged.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from models.adapter import Adapter, ModelInput, RawOutput
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import Parameters
from models.predictions import Prediction

P = TypeVar("P", bound=Parameters)
R = TypeVar("R", bound=Prediction)


@dataclass(frozen=True)
class View:
    """How a view differs from the usual input of the model.

    Attributes:
        scale: Of each side, relative to the usual input.
        mirrored: Whether left is right.
    """

    scale: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class AugmentedInput(ModelInput):
    """The views of one image, ready for the network.

    Attributes:
        views: Inputs of the network, at least one, whose sizes may differ; `pixels` are those of the first.
        kinds: How each of them was made.
    """

    views: tuple[ModelInput, ...]
    kinds: tuple[View, ...]

    @classmethod
    def of(cls, views: Sequence[tuple[View, ModelInput]]) -> "AugmentedInput":
        """Makes the input of an image from its views, at least one."""
        kinds, inputs = zip(*views, strict=True)
        return cls(inputs[0].pixels, inputs[0].image_size, inputs, kinds)

    @property
    def batch_key(self) -> Hashable:
        """Inputs of equal keys may share a batch: their views have the same shapes."""
        return "augmented", self.kinds, tuple(view.batch_key for view in self.views)

    @property
    def view_count(self) -> int:
        """Number of views."""
        return len(self.views)

    @property
    def pixel_count(self) -> int:
        """Pixels that go through the network, of all views."""
        return sum(view.pixel_count for view in self.views)


class Augmented(ABC, Generic[P, R]):
    """Implements `models.adapter.Adapter` with several views of each image, except what a kind adds.

    Args:
        adapter: The model.
        max_batch_size: The most views in one run of the network.
    """

    def __init__(self, adapter: Adapter[P, R], max_batch_size: int) -> None:
        self._adapter = adapter
        self._max_batch_size = max_batch_size
        self.entry = adapter.entry
        self.class_names = adapter.class_names
        self.runtime = adapter.runtime
        self.weights_digest = adapter.weights_digest

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`."""
        return self._adapter.decode(data, max_bytes=max_bytes, max_pixels=max_pixels)

    @property
    @abstractmethod
    def view_count(self) -> int:
        """The most views of an image: of a square photo, or of one in tiles, there may be fewer."""

    @abstractmethod
    def preprocess(self, image: DecodedImage) -> AugmentedInput:
        """Makes the views of an image."""

    @abstractmethod
    def forward(self, inputs: Sequence[ModelInput]) -> RawOutput:
        """Runs the network over all views of a batch, see `models.adapter.Adapter.forward`."""

    @abstractmethod
    def postprocess(self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[P]) -> Sequence[R]:
        """Converts the outputs of all views to one prediction an image, see `models.adapter.Adapter.postprocess`."""

    def predict(self, images: Sequence[bytes], parameters: P | None = None) -> Sequence[R]:
        """See `models.adapter.Adapter.predict`; images are predicted one by one."""
        wanted: Any = parameters or _defaults_of(self._adapter)
        inputs = [self.preprocess(self.decode(data)) for data in images]
        return [found for item in inputs for found in self.postprocess(self.forward([item]), [item], [wanted])]

    def warm_up(self, max_batch_size: int) -> None:
        """See `models.adapter.Adapter.warm_up`: runs the network as without augmentation."""
        self._adapter.warm_up(max_batch_size)

    def _run(self, views: Sequence[ModelInput]) -> RawOutput:
        """Runs the network over views of one shape, at most `max_batch_size`; a subclass may replace it."""
        return self._adapter.forward(views)

    def _run_all(self, inputs: Sequence[ModelInput]) -> list[list[Any]]:
        """Runs the network over all views of a batch: the output of every view of every image, in their order."""
        views = [(image, view) for image, item in enumerate(inputs) for view in range(len(_views_of(item)))]
        groups: dict[Hashable, list[tuple[int, int]]] = {}
        for image, view in views:
            groups.setdefault(_views_of(inputs[image])[view].batch_key, []).append((image, view))
        found: dict[tuple[int, int], Any] = {}
        for places in groups.values():
            for start in range(0, len(places), self._max_batch_size):
                some = places[start : start + self._max_batch_size]
                outputs = self._run([_views_of(inputs[image])[view] for image, view in some])
                found.update(zip(some, outputs, strict=True))
        return [[found[image, view] for view in range(len(_views_of(item)))] for image, item in enumerate(inputs)]


def _views_of(item: ModelInput) -> tuple[ModelInput, ...]:
    assert isinstance(item, AugmentedInput)
    return item.views


def _defaults_of(adapter: Adapter[Any, Any]) -> Any:
    from models.kinds import KINDS

    return KINDS[adapter.entry.kind].parameters(**adapter.entry.defaults)
