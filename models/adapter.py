"""The interface between a model and its server: from image bytes to predictions in four steps.

    bytes ─ decode ─► DecodedImage ─ preprocess ─► ModelInput ─ forward ─► RawOutput ─ postprocess ─► Prediction
                                                   (a batch of them)

All four are safe to call from several threads at once, once `warm_up` has returned: an adapter keeps nothing between
calls, and its network is in evaluation mode. `forward` runs the network; a replica calls it from as many threads as it
has streams. `postprocess` touches the device only for the masks of instances: which are wanted, a request says.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from numpy.typing import NDArray

from models.entries import CatalogEntry
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS, DecodedImage
from models.parameters import GenerationParameters, Parameters
from models.predictions import Picture, Prediction
from models.runtime import Runtime

RawOutput = Sequence[Any] | NDArray[Any]
"""The output of the network for a batch: indexed by image, `raw[i]` belongs to `inputs[i]`, and may be sliced."""


@dataclass(frozen=True, eq=False)
class ModelInput:
    """One image, ready for the network.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, C-contiguous, of the size that the network takes; of a signal (1, length) float32.
        image_size: (height, width) of the upright original in pixels; of a signal (1, length).

    That of a generator is made of the request's parameters, see `Generator`.
    """

    pixels: NDArray[Any]
    image_size: tuple[int, int]

    @property
    def batch_key(self) -> Hashable:
        """Inputs of equal keys may share a batch."""
        return self.pixels.shape

    @property
    def view_count(self) -> int:
        """Images that go through the network; more than one with augmentation."""
        return 1

    @property
    def pixel_count(self) -> int:
        """Pixels that go through the network."""
        return self.pixels.shape[0] * self.pixels.shape[1]


P = TypeVar("P", bound=Parameters, contravariant=True)
R = TypeVar("R", bound=Prediction, covariant=True)
N = TypeVar("N")


@runtime_checkable
class DecodesToScale(Protocol):
    """An adapter whose `decode` is that of `models.imaging.decoding`, at the smallest scale that keeps a short side.

    Models of one process that are asked for the same image share a decode of it, `models.imaging.shared_decoding`;
    an adapter without this method decodes by itself.
    """

    def short_side_needed(self, image_size: tuple[int, int]) -> int:
        """Returns the short side in pixels that a JPEG keeps at least in a scaled decode.

        Args:
            image_size: (height, width) of the upright original in pixels.
        """
        ...


class Adapter(Protocol[P, R]):
    """A loaded model: takes request parameters P of its task and returns predictions R.

    Attributes:
        entry: Its catalog entry.
        class_names: The name of every class id.
        runtime: Where and how it runs; nothing in it is `auto`.
        weights_digest: sha256 in hex of the weights file that was loaded.
    """

    entry: CatalogEntry
    class_names: tuple[str, ...]
    runtime: Runtime
    weights_digest: str

    def decode(self, data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> DecodedImage:
        """Decodes an image, a JPEG at the smallest scale that suffices for this model.

        Args:
            data: The encoded image.
            max_bytes: The most bytes that are accepted.
            max_pixels: The most pixels (height x width) that are accepted.

        Raises:
            ImageError: The bytes are not an image that can be read.
        """
        ...

    def preprocess(self, image: DecodedImage) -> ModelInput:
        """Resizes decoded pixels to the input size of the network."""
        ...

    def forward(self, inputs: Sequence[ModelInput]) -> RawOutput:
        """Runs the network over a batch.

        Args:
            inputs: At least one, all of the same `batch_key`.

        Returns:
            One element for every input, in the same order.

        Raises:
            NonFiniteOutput: The network returned NaN or infinity for one of them.
        """
        ...

    def postprocess(self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[P]) -> Sequence[R]:
        """Converts the network's output to predictions.

        Args:
            raw: From `forward`, or any slice of it.
            inputs: The inputs that belong to it, of the same length.
            parameters: One for every input.

        Returns:
            One prediction for every input, in the same order.

        Raises:
            NonFiniteOutput: A prediction of one of them contains NaN or infinity.
        """
        ...

    def predict(self, images: Sequence[bytes], parameters: P | None = None) -> Sequence[R]:
        """Decodes, preprocesses, runs the network and postprocesses, all in the calling thread.

        Args:
            images: Encoded images, at least one.
            parameters: For all of them; the model's defaults where None.

        Returns:
            One prediction for every image, in the same order.

        Raises:
            ImageError: One of them is not an image that can be read.
        """
        ...

    def warm_up(self, max_batch_size: int) -> None:
        """Runs the network on blank images, so that later batches do not pay for initialisation.

        Args:
            max_batch_size: The largest batch size of later calls.
        """
        ...


class Generator(Adapter[GenerationParameters, Picture], Protocol):
    """A model that takes no image: `draw` stands for `decode` and `preprocess`, which are not called."""

    def draw(self, parameters: GenerationParameters) -> ModelInput:
        """Makes the network's input for the images of a request.

        Args:
            parameters: Of the request; its class is one of the model's.

        Returns:
            Latent vectors and classes. Its `view_count` is the number of images, its `image_size` that of one image,
            and its `pixel_count` the pixels of all of them; `postprocess` returns one `Picture.grid` for it.
        """
        ...


class NetworkAdapter(Generic[N]):
    """Base class of adapters around a network, with the attributes of an `Adapter`.

    Args:
        entry: Its catalog entry.
        class_names: One for every class id.
        runtime: Where and how it runs, resolved.
        network: Runs on its device; the subclass defines what it takes and returns.
        weights_digest: sha256 in hex of the file that its weights came from.

    Attributes:
        network: The same.
    """

    def __init__(
        self, entry: CatalogEntry, class_names: tuple[str, ...], runtime: Runtime, network: N, weights_digest: str
    ) -> None:
        self.entry = entry
        self.class_names = class_names
        self.runtime = runtime
        self.network = network
        self.weights_digest = weights_digest
