"""Catalog entries: one frozen record of metadata for every model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from models.latent_preprocessing import LatentPreprocessing
from models.parts import ModelPart
from models.signal_preprocessing import SignalPreprocessing
from models.skeletons import Skeleton

Task = str
"""`classification`, `detection`, `keypoints`, `segmentation`, `multitask`, or an experimental one of `models.kinds`."""
Segmentation = Literal["semantic", "instance"]
Kind = str
"""The task of a model, or of a segmenter the type of its masks."""
MaskFormat = Literal["rle", "polygon", "png"]
"""Encoding of masks in a response: COCO's compressed RLE, COCO's polygons, or PNG files in base64."""
Interpolation = Literal["bilinear", "bicubic"]
Quantization = Literal["int8"]
WeightsKind = Literal["package", "torch_hub", "url", "hugging_face", "card", "none"]

ONNX: Final = "onnx"  # architecture of a card whose network is an ONNX file
_LARGEST_SIDE = 8192  # of a network's input in pixels: memory grows with its square


@dataclass(frozen=True)
class WeightsSource:
    """Where a model's weights come from.

    Attributes:
        kind: `package` (a file in an installed Python package), `torch_hub` (downloaded once into torch hub's cache),
            `url` (likewise, from a publisher whose file names carry no digest), `hugging_face` (downloaded once into
            the cache of Hugging Face's hub), `card` (a safetensors or ONNX file beside its model card) or `none` (no
            learned weights).
        location: For a package, the path from its import root; for torch hub and a URL, the address of the file; for
            Hugging Face, the repository; for a card, the name of the file beside it.
        sha256: Digest of the file in hex. None for torch hub, whose file names carry its first digits, for Hugging
            Face, whose server names it, and where none is published: then the first download's digest is recorded
            beside the file, and later ones must match it.
        licence: Licence of the weights.
        source: Authors of the weights, and where they are published.
    """

    kind: WeightsKind
    location: str
    sha256: str | None
    licence: str
    source: str


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a classifier: resize, centre crop and normalisation.

    Attributes:
        resize: The short side after the resize, in pixels.
        crop: The side of the centred square that is kept, in pixels.
        interpolation: Kernel of the resize; always antialiased.
        mean: Subtracted from R, G and B, on the scale 0 to 255.
        std: R, G and B are then divided by it, on the scale 0 to 255.

    Raises:
        ValueError: On construction, where a size is below 1, the crop is larger than the resize, or std is not above 0.
    """

    resize: int
    crop: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(f"crop must be from 1 to resize ({self.resize}), not {self.crop}")
        _check_above_zero(self.std)

    @property
    def largest_size(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return self.crop, self.crop

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) of every input of the network in pixels."""
        return self.largest_size


@dataclass(frozen=True)
class LetterboxPreprocessing:
    """Preprocessing of a detector or a segmenter: the whole image is resized, padded and normalised.

    The scale is min(short_side / short side of the image, long_side / long side of the image), which enlarges small
    images too. With `short_side == long_side` that fits the image into a square, as YOLOX does; with 800 and 1333 it
    is what torchvision's detectors do.

    Attributes:
        short_side: The most pixels that the short side has after the resize.
        long_side: The most pixels that the long side has after the resize; at least `short_side`.
        mean: Subtracted from R, G and B, on the scale 0 to 255.
        std: R, G and B are then divided by it, on the scale 0 to 255.
        stride: The resized image is padded at the right and the bottom to the next multiple of this; 1 pads nothing.
        pad: Grey level of the padding, 0 to 255.
        keep_aspect: Where false, the image is stretched to a square of `long_side` instead.
        antialias: Whether downscaling is antialiased; the published detectors were trained without.
        enlarge: Where false, smaller images are not upscaled.
        tile: An input with a side above this many pixels is cut into tiles of it, a multiple of `stride`; None where
            every input goes through the network as a whole.
        overlap: Pixels that neighbouring tiles share, a multiple of `stride` below half the tile.

    Raises:
        ValueError: On construction, where a size is below 1 or too large, or std is not above 0.
    """

    short_side: int
    long_side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int = 32
    pad: int = 114
    keep_aspect: bool = True
    antialias: bool = True
    enlarge: bool = True
    tile: int | None = None
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.short_side <= self.long_side <= _LARGEST_SIDE:
            raise ValueError(
                f"short_side and long_side must be from 1 to {_LARGEST_SIDE} and the latter not the smaller one, "
                f"not {self.short_side} and {self.long_side}"
            )
        if not 1 <= self.stride <= self.long_side:
            raise ValueError(f"stride must be from 1 to long_side ({self.long_side}), not {self.stride}")
        if not 0 <= self.pad <= 255:
            raise ValueError(f"pad must be from 0 to 255, not {self.pad}")
        if self.tile is not None and not self.stride <= self.tile <= _LARGEST_SIDE:
            raise ValueError(f"tile must be from stride ({self.stride}) to {_LARGEST_SIDE}, not {self.tile}")
        if self.tile is not None and self.tile % self.stride:
            raise ValueError(f"tile must be a multiple of stride ({self.stride}), not {self.tile}")
        if self.overlap < 0 or self.overlap % self.stride or 2 * self.overlap >= (self.tile or 1 + 2 * self.overlap):
            raise ValueError(f"overlap must be a multiple of stride below half the tile, not {self.overlap}")
        _check_above_zero(self.std)

    @property
    def largest_size(self) -> tuple[int, int]:
        """(height, width) of the largest input of the network in pixels, that of a wide image."""
        if self.tile is not None and self.tile < self.long_side:
            return min(self.tile, _next_multiple(self.short_side, self.stride)), self.tile
        return _next_multiple(self.short_side, self.stride), _next_multiple(self.long_side, self.stride)

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) of every input of the network in pixels; None where it depends on the image."""
        if self.stride == (self.tile or self.long_side):
            return self.stride, self.stride
        if self.keep_aspect or self.tile is not None:
            return None
        side = _next_multiple(self.long_side, self.stride)
        return side, side


@dataclass(frozen=True)
class Accuracy:
    """One measured accuracy of a model on a data set.

    Attributes:
        dataset: Data set of the measurement.
        metric: Such as `top1`, `map` (mean over IoU 0.5 to 0.95) or `map_50`; 0 to 1.
        value: Value of the metric.
        note: Who measured it, and caveats.
    """

    dataset: str
    metric: str
    value: float
    note: str


@dataclass(frozen=True)
class Speed:
    """One measured throughput of a model on a machine.

    Attributes:
        machine: The processor, and how much of it.
        precision: Of the runtime, such as `bf16`.
        batch_size: Images in a batch.
        images_per_s: Of forward and postprocess, without decoding.
        note: How it was measured.
    """

    machine: str
    precision: str
    batch_size: int
    images_per_s: float
    note: str


@dataclass(frozen=True)
class CatalogEntry:
    """Metadata of a model, available before it is loaded.

    Attributes:
        name: Name of the model in `models.catalog.loading.load` and in the API.
        version: Changes whenever predictions may change.
        task: Task of the model.
        architecture: The network, as its paper calls it, or for a card as `models.catalog.architectures` does.
        weights: Where the weights come from.
        preprocessing: Resize, crop or padding, and normalisation; the type depends on the task and the input. A
            generator has the sizes of its latent vector and its images instead.
        segmentation: Masks of `semantic` classes, the first the background, or of `instance`s; None for other tasks.
        class_count: Number of classes.
        licence: Licence of the architecture's code.
        accuracy: Measured figures.
        description: One sentence that helps to choose a model.
        speed: Measured speeds.
        defaults: Parameters of the task where a request sets none.
        class_names: One for every class id; None where they are known only once the model is loaded.
        category_ids: COCO category id of every class id; None where it is the class id plus one.
        arguments: Keyword arguments of the architecture, beyond the number of classes.
        training: How the weights were trained (data, split, epochs …), JSON-able; empty if published elsewhere.
        outputs: Layout of the outputs, one of `models.outputs.layouts.LAYOUTS`; None: that of its architecture.
        quantization: `int8` where the file of a card also holds the network in 8 bits: `models.catalog.quantized`.
        parts: Of a multi-task network, what it answers, by kind; empty for other tasks.
        skeleton: Of a pose estimator, the key points of its objects; None for other tasks.
        card: Path of the card that the entry was read from; None for other entries. Valid on this machine only.

    Raises:
        ValueError: On construction, where class names or category ids and their count do not agree.
    """

    name: str
    version: str
    task: Task
    architecture: str
    weights: WeightsSource
    preprocessing: Preprocessing | LetterboxPreprocessing | SignalPreprocessing | LatentPreprocessing
    class_count: int
    licence: str
    accuracy: tuple[Accuracy, ...]
    description: str
    defaults: Mapping[str, int | float] = field(default_factory=lambda: {"top_k": 5})
    class_names: tuple[str, ...] | None = None
    category_ids: tuple[int, ...] | None = None
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict[str, int | float | str | bool])
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])
    speed: tuple[Speed, ...] = ()
    segmentation: Segmentation | None = None
    outputs: str | None = None
    quantization: Quantization | None = None
    skeleton: Skeleton | None = None
    parts: Mapping[Kind, ModelPart] = field(default_factory=dict[Kind, ModelPart])
    card: Path | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.class_names is not None and len(self.class_names) != self.class_count:
            raise ValueError(f"{self.name}: {len(self.class_names)} class names for {self.class_count} classes")
        if self.category_ids is not None and len(self.category_ids) != self.class_count:
            raise ValueError(f"{self.name}: {len(self.category_ids)} category ids for {self.class_count} classes")

    @property
    def kind(self) -> Kind:
        """The task, or of a segmenter the type of its masks."""
        return kind_of(self.task, self.segmentation)

    @property
    def image_preprocessing(self) -> Preprocessing | LetterboxPreprocessing:
        """The preprocessing of a model of images, not of signals or latent vectors."""
        assert not isinstance(self.preprocessing, SignalPreprocessing | LatentPreprocessing)
        return self.preprocessing

    def to_dict(self) -> dict[str, object]:
        """Returns the entry as JSON-able dictionaries and lists, without the local path, so safe to send to clients."""
        document = asdict(self)
        del document["card"]
        if not self.parts:
            del document["parts"]
        return {**document, "accuracy": list(document["accuracy"]), "speed": list(document["speed"])}


def kind_of(task: Task, segmentation: Segmentation | None) -> Kind:
    """Returns the kind of a model: its task, or of a segmenter the type of its masks."""
    return segmentation or task


def kind_in(document: Mapping[str, Any]) -> Kind:
    """Returns the kind of the model that a document of `CatalogEntry.to_dict` describes."""
    return kind_of(document["task"], document.get("segmentation"))


DETECTION_DEFAULTS: Mapping[str, int | float] = {"score_threshold": 0.25, "iou_threshold": 0.5, "max_detections": 100}
"""Default request parameters of a detector, unless its entry overrides them."""

INSTANCE_DEFAULTS: Mapping[str, int | float] = {"score_threshold": 0.5, "max_detections": 100}
"""Default request parameters of an instance segmenter; a semantic one has none."""

POSE_DEFAULTS: Mapping[str, int | float] = {**DETECTION_DEFAULTS, "score_threshold": 0.5, "keypoint_threshold": 0.25}
"""Default request parameters of a pose estimator."""


def _check_above_zero(std: tuple[float, ...]) -> None:
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, not {std}")


def _next_multiple(number: int, step: int) -> int:
    return -(-number // step) * step
