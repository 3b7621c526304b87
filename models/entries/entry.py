"""Catalog entries: one frozen record of metadata for every model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from models.entries.image_preprocessing import LetterboxPreprocessing, Preprocessing
from models.entries.latent_preprocessing import LatentPreprocessing
from models.entries.parts import ModelPart
from models.entries.signal_preprocessing import SignalPreprocessing
from models.entries.skeletons import Skeleton

Task = str
"""`classification`, `detection`, `keypoints`, `segmentation`, `multitask`, or an experimental one of `models.kinds`."""
Segmentation = Literal["semantic", "instance"]
Kind = str
"""The task of a model, or of a segmenter the type of its masks."""
MaskFormat = Literal["rle", "polygon", "png"]
"""Encoding of masks in a response: COCO's compressed RLE, COCO's polygons, or PNG files in base64."""
Quantization = Literal["int8"]
WeightsKind = Literal["package", "torch_hub", "url", "hugging_face", "card", "none"]

ONNX: Final = "onnx"  # architecture of a card whose network is an ONNX file


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
