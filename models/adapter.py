"""The interface between a model and its server: from image bytes to predictions in four steps.

    bytes ─ decode ─► DecodedImage ─ preprocess ─► ModelInput ─ forward ─► RawOutput ─ postprocess ─► Prediction
                                                   (a batch of them)

All four are safe to call from several threads at once, once `warm_up` has returned: an adapter keeps nothing between
calls, and its network is in evaluation mode. `forward` runs the network; a replica calls it from as many threads as it
has streams. `postprocess` touches the device only for the masks of instances: which are wanted, a request says.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Protocol, TypeVar, get_args, runtime_checkable

from numpy.typing import NDArray

from models.entries import CatalogEntry, MaskFormat
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS, DecodedImage
from models.predictions import Picture, Prediction
from models.runtime import Runtime

Family = Literal["fast-rcnn", "rcnn"]
"""Two-stage detectors that take proposals, see `models.detection.proposals`."""
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


@dataclass(frozen=True)
class ClassificationParameters:
    """Parameters of a classification request.

    Attributes:
        top_k: Number of classes to return, at least 1; a model with fewer classes returns all of them.
        augment: Whether several views of the image are predicted and averaged, see `models.augmentation`.
    """

    top_k: int = 5
    augment: bool = False

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")


@dataclass(frozen=True)
class ObjectParameters:
    """Parameters that requests to detectors and pose estimators share.

    Attributes:
        score_threshold: Objects with a lower score are dropped, 0 to 1.
        iou_threshold: NMS threshold: of two boxes with a greater IoU, the one with the lower score is dropped, 0 to 1.
        max_detections: The most objects to return, at least 1.
        class_ids: Return objects of these classes only; of all classes where None.
        class_agnostic: Whether NMS ignores classes, so that a box suppresses those of other classes too.
        augment: Whether several views of the image are predicted and fused, see `models.augmentation`.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.5
    max_detections: int = 100
    class_ids: tuple[int, ...] | None = None
    class_agnostic: bool = False
    augment: bool = False

    def __post_init__(self) -> None:
        for name, value in (("score_threshold", self.score_threshold), ("iou_threshold", self.iou_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {value}")
        if self.max_detections < 1:
            raise ValueError(f"max_detections must be at least 1, not {self.max_detections}")


@dataclass(frozen=True)
class DetectionParameters(ObjectParameters):
    """Parameters of a detection request.

    Attributes:
        proposals: Regions that a two-stage detector classifies instead of its own: x_min, y_min, x_max, y_max of each
            in pixels of the upright image, see `models.detection.proposals`.
        family: Which detector takes them; `fast-rcnn` where None.
    """

    proposals: tuple[tuple[float, float, float, float], ...] | None = None
    family: Family | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.family is not None and self.proposals is None:
            raise ValueError("family says which detector takes proposals: it needs some")
        if self.proposals is not None and self.augment:
            raise ValueError("proposals are of the image as it is: leave augment out")


@dataclass(frozen=True)
class PoseParameters(ObjectParameters):
    """Parameters of a pose request.

    Attributes:
        keypoint_threshold: Key points with a lower score count as not visible, 0 to 1; predictions within a process do
            not depend on it.
    """

    score_threshold: float = 0.5
    keypoint_threshold: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.keypoint_threshold <= 1:
            raise ValueError(f"keypoint_threshold must be from 0 to 1, not {self.keypoint_threshold}")


@dataclass(frozen=True)
class SegmentationParameters:
    """Parameters of a segmentation request.

    Attributes:
        score_threshold: Instances with a lower score are dropped, 0 to 1. Ignored by semantic segmentation models.
        max_detections: The most instances to return, at least 1. Ignored by semantic segmentation models.
        class_ids: Return masks of these classes only; of all classes where None.
        mask_format: Encoding of masks in the response; predictions within a process do not depend on it.
        probabilities: Whether semantic segmentation models return the mean probability of each class.
        augment: Whether several views of the image are predicted and merged, see `models.augmentation`.
    """

    score_threshold: float = 0.5
    max_detections: int = 100
    class_ids: tuple[int, ...] | None = None
    mask_format: MaskFormat = "rle"
    probabilities: bool = False
    augment: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise ValueError(f"score_threshold must be from 0 to 1, not {self.score_threshold}")
        if self.max_detections < 1:
            raise ValueError(f"max_detections must be at least 1, not {self.max_detections}")
        if self.mask_format not in get_args(MaskFormat):
            raise ValueError(f"mask_format must be one of {', '.join(get_args(MaskFormat))}, not {self.mask_format!r}")


@dataclass(frozen=True)
class StyleParameters:
    """Parameters of a request to a stylizer, an experimental kind.

    Attributes:
        strength: Share of the style, 0 to 1: 0 is the photo itself, 1 the network's output.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be from 0 to 1, not {self.strength}")


MAX_SEED: Final = 2**53 - 1
"""The largest seed: every JSON parser reads integers up to it exactly (RFC 8259, section 6)."""
MAX_GENERATED: Final = 64
"""The most images of a request to a generator."""


@dataclass(frozen=True)
class GenerationParameters:
    """Parameters of a request to a generator, an experimental kind.

    Equal parameters give equal images, whatever else is in the batch; image k does not depend on `count`.

    Attributes:
        class_id: Class of all images; None: drawn by the seed, for each image.
        seed: Seed of the latent vectors, 0 to `MAX_SEED`.
        count: Number of images, 1 to `MAX_GENERATED`; several are a grid.
        truncation: The latent vectors are multiplied by it, above 0 to 1: below 1, images are more typical and less
            diverse.
    """

    class_id: int | None = None
    seed: int = 0
    count: int = 1
    truncation: float = 1.0

    def __post_init__(self) -> None:
        if self.class_id is not None and self.class_id < 0:
            raise ValueError(f"class_id must be at least 0, not {self.class_id}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be from 0 to {MAX_SEED}, not {self.seed}")
        if not 1 <= self.count <= MAX_GENERATED:
            raise ValueError(f"count must be from 1 to {MAX_GENERATED}, not {self.count}")
        if not 0 < self.truncation <= 1:
            raise ValueError(f"truncation must be above 0 and at most 1, not {self.truncation}")


SingleParameters = ClassificationParameters | DetectionParameters | PoseParameters | SegmentationParameters
"""The request parameters of a single task."""

_OF_KIND: dict[str, type[Any]] = {
    "classification": ClassificationParameters,
    "detection": DetectionParameters,
    "keypoints": PoseParameters,
    "instance": SegmentationParameters,
    "semantic": SegmentationParameters,
}


@dataclass(frozen=True)
class MultitaskParameters:
    """Parameters of a request to a multi-task network: those of each kind that is wanted.

    A mapping of parameters by name stands for the dataclass of its kind. Where all are None, every part of the network
    is wanted, with its defaults.

    Attributes:
        classification: Of the classes of the image; None: not wanted.
        detection: Of boxes.
        keypoints: Of poses.
        instance: Of the masks of objects.
        semantic: Of the class of every pixel.

    Raises:
        TypeError, ValueError: On construction, where a mapping is not one of parameters of its kind.
    """

    classification: ClassificationParameters | None = None
    detection: DetectionParameters | None = None
    keypoints: PoseParameters | None = None
    instance: SegmentationParameters | None = None
    semantic: SegmentationParameters | None = None

    def __post_init__(self) -> None:
        for member in fields(self):
            given = getattr(self, member.name)
            if isinstance(given, Mapping):
                object.__setattr__(self, member.name, _OF_KIND[member.name](**given))

    @property
    def wanted(self) -> dict[str, Any]:
        """The parameters of each kind that is wanted, in the order of `models.kinds.KINDS`."""
        given = {member.name: getattr(self, member.name) for member in fields(self)}
        return {kind: parameters for kind, parameters in given.items() if parameters is not None}


Parameters = SingleParameters | MultitaskParameters | StyleParameters | GenerationParameters
"""The request parameters of any task."""


P = TypeVar("P", bound=Parameters, contravariant=True)
R = TypeVar("R", bound=Prediction, covariant=True)


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
