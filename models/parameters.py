"""The parameters of requests, one frozen record for each kind of predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

from models.entries import MaskFormat

Family = Literal["fast-rcnn", "rcnn"]
"""Two-stage detectors that take proposals, see `models.detection.proposals`."""


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
