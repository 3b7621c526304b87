"""What may be set for the tasks that have much to set, as the keyword arguments of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict


class DetectionParameters(TypedDict, total=False):
    """What may be set for a detection.

    Attributes:
        model: Name of a served model.
        score_threshold: Leave out objects with a lower score, 0 to 1.
        iou_threshold: Of two objects that overlap by more than this, only the better one stays, 0 to 1.
        max_detections: The most objects, 1 to 1000.
        classes: Only objects of these classes, by name or id. A name with a comma in it goes by its id.
        class_agnostic: Whether an object suppresses overlapping ones of other classes, too.
    """

    model: str | None
    score_threshold: float | None
    iou_threshold: float | None
    max_detections: int | None
    classes: Sequence[str | int] | None
    class_agnostic: bool | None


class SegmentationParameters(TypedDict, total=False):
    """What may be set for a segmentation.

    Attributes:
        model: Name of a served model.
        mask_format: How masks travel; their `to_array()` is the same for all, up to a pixel at the edges of polygons.
        score_threshold: Leave out objects with a lower score, 0 to 1; it says nothing to a semantic model.
        max_detections: The most objects, 1 to 1000; it says nothing to a semantic model.
        classes: Only masks of these classes, by name or id. A name with a comma in it goes by its id.
        probabilities: Whether to give the mean probability of each class; it says nothing to an instance model.
    """

    model: str | None
    mask_format: Literal["rle", "polygon", "png"] | None
    score_threshold: float | None
    max_detections: int | None
    classes: Sequence[str | int] | None
    probabilities: bool | None
