"""Keyword arguments (TypedDict) of the prediction calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict


class ClassificationParameters(TypedDict, total=False):
    """Parameters of a classification.

    Attributes:
        model: Name of a served model.
        top_k: How many classes, 1 to 1000.
        augment: Test-time augmentation: several crops of the image are predicted and averaged.
    """

    model: str | None
    top_k: int | None
    augment: bool | None


class ObjectParameters(TypedDict, total=False):
    """Parameters that detection and pose estimation share.

    Attributes:
        model: Name of a served model.
        score_threshold: Drop objects with a lower score, 0 to 1.
        iou_threshold: IoU threshold of NMS: of objects that overlap by more, only the best one is kept, 0 to 1.
        max_detections: The most objects, 1 to 1000.
        classes: Only objects of these classes, by name or id. A name with a comma in it goes by its id.
        class_agnostic: NMS across classes: objects also suppress those of other classes.
        augment: Test-time augmentation: several views of the image are predicted and merged.
    """

    model: str | None
    score_threshold: float | None
    iou_threshold: float | None
    max_detections: int | None
    classes: Sequence[str | int] | None
    class_agnostic: bool | None
    augment: bool | None


class DetectionParameters(ObjectParameters, total=False):
    """Parameters of a detection.

    Attributes:
        proposals: Regions that a two-stage model classifies instead of its own: x_min, y_min, x_max, y_max of each in
            pixels of the upright image.
        family: With `proposals`: pools them from the feature maps of the image, or runs the network on a crop of each.
    """

    proposals: Sequence[Sequence[float]] | None
    family: Literal["fast-rcnn", "rcnn"] | None


class PoseParameters(ObjectParameters, total=False):
    """Parameters of a pose estimation.

    Attributes:
        keypoint_threshold: Mark key points with a lower score as not visible, 0 to 1.
    """

    keypoint_threshold: float | None


class SegmentationParameters(TypedDict, total=False):
    """Parameters of a segmentation.

    Attributes:
        model: Name of a served model.
        mask_format: Format of masks in the response; `to_array()` is the same for all, up to a pixel at the edges of
            polygons.
        score_threshold: Drop objects with a lower score, 0 to 1; ignored by semantic models.
        max_detections: The most objects, 1 to 1000; ignored by semantic models.
        classes: Only masks of these classes, by name or id. A name with a comma in it goes by its id.
        probabilities: Also return the mean probability of each class; ignored by instance models.
        augment: Test-time augmentation: several views of the image are predicted and merged.
    """

    model: str | None
    mask_format: Literal["rle", "polygon", "png"] | None
    score_threshold: float | None
    max_detections: int | None
    classes: Sequence[str | int] | None
    probabilities: bool | None
    augment: bool | None


class GenerationParameters(TypedDict, total=False):
    """Parameters of a generation, beside the class.

    Attributes:
        model: Name of a served generator.
        seed: Seed of the noise, 0 to 2**53 - 1: equal seeds give equal images.
        count: How many images, 1 to 64.
        truncation: Scale of the noise, above 0 to 1: below 1, images are more typical and less diverse.
    """

    model: str | None
    seed: int | None
    count: int | None
    truncation: float | None
