"""Draws the pictures of a report: ground truth beside prediction on the same photo, with notes on the differences.

Objects are drawn in the colour of their outcome: true positive, wrong class, false positive or missed. Classes of
pixels have their own colours, the same on both sides; pixels without annotation are hatched. Of a classifier the photo
is shown once, and its classes are text.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.datasets.samples import IGNORED, ClassTarget, ObjectTarget, RegionTarget, Target
from models.drawing.annotations import Annotation, Box, Pose, annotations_of_answer
from models.drawing.picture import draw_on
from models.entries.skeletons import sides_of
from models.geometry.masks import Mask
from models.imaging.decoding import DecodedImage, decode
from models.signals.decoding import decode_signal, is_signal
from models.signals.plot import plot_signal
from services.evaluation.report.differences import object_notes, region_notes
from services.evaluation.report.matching import Verdict, match

MAX_SIDE: Final = 480
"""Longest side of a picture in pixels."""
_CLASS_SIDE: Final = 300
"""The same for classifiers, where nothing is drawn on it."""
_TINY_SIDE: Final = 128
"""Images of half this or less, such as digits of 28 pixels, are enlarged, each pixel to a square."""
_QUALITY: Final = 78
_SHOWN_CLASSES: Final = 5
_HATCH: Final = 8
"""Pixels from one line of the hatching to the next."""

COLOR_KEYS: Final[Mapping[Verdict, int]] = {
    Verdict.RIGHT: 0,
    Verdict.OTHER_CLASS: 7,
    Verdict.FALSE: 2,
    Verdict.MISSED: 2,
    Verdict.IGNORED: 6,
}
"""Which colour of `models.drawing.palette` tells what: light blue is right, orange is wrong, pale yellow is half right.
Those three stay apart for eyes that do not tell red from green."""


@dataclass(frozen=True)
class ShownClass:
    """One row of a classifier's answer.

    Attributes:
        name: Of the class.
        probability: 0 to 1; None where the answer does not go so far down.
        right: Whether it is the one that is there.
    """

    name: str
    probability: float | None
    right: bool


@dataclass(frozen=True)
class Pair:
    """One image with its ground truth and its prediction.

    Attributes:
        target: A WebP file, the photo with the ground truth drawn on it; of a classifier, the photo.
        prediction: The same photo with the prediction; None for a classifier.
        size: (height, width) of both in pixels.
        notes: Differences, a few words each, for people.
        classes: The classifier's best classes, best first, and the ground-truth class; empty for other kinds.
    """

    target: bytes
    prediction: bytes | None
    size: tuple[int, int]
    notes: tuple[str, ...] = ()
    classes: tuple[ShownClass, ...] = ()


def draw_pair(
    image: bytes,
    target: Target,
    answer: Mapping[str, Any],
    class_names: Sequence[str],
    score_threshold: float | None = None,
    measured: Sequence[int] | None = None,
) -> Pair:
    """Draws ground truth and prediction of an image.

    Args:
        image: The encoded photo.
        target: Ground truth, in the model's class ids.
        answer: Prediction, as `services.answers.wire.describe_prediction` writes it, with run lengths for
        masks. class_names: The model's. score_threshold: Objects below are not drawn; None draws all. measured:
        Predictions of other classes are not drawn, since they have no ground truth; None
            draws all.

    Returns:
        The pair; a few ten kilobytes each.

    Raises:
        ImageError: The photo cannot be read.
        ValueError: Masks are not run lengths, or of another photo.
    """
    if isinstance(target, ClassTarget):
        return _class_pair(image, target, answer, class_names)
    photo = _decoded(image, MAX_SIDE)
    wanted = None if measured is None else set(measured)
    annotations = [
        annotation
        for annotation in annotations_of_answer(answer, len(class_names))
        if (wanted is None or annotation.class_id in wanted)
        and (annotation.box is None or score_threshold is None or annotation.score >= score_threshold)
    ]
    if isinstance(target, ObjectTarget):
        return _object_pair(photo, target, annotations, class_names)
    return _region_pair(photo, target, annotations, class_names)


def _decoded(image: bytes, min_short_side: int) -> DecodedImage:
    """A photo that the model has answered, however large it is."""
    return decode(image, min_short_side=min_short_side, max_bytes=sys.maxsize, max_pixels=sys.maxsize)


def _class_pair(image: bytes, target: ClassTarget, answer: Mapping[str, Any], class_names: Sequence[str]) -> Pair:
    photo = _decoded(plot_signal(decode_signal(image)) if is_signal(image) else image, _CLASS_SIDE)
    picture: Image.Image = Image.fromarray(photo.pixels)
    picture.thumbnail((_CLASS_SIDE, _CLASS_SIDE), Image.Resampling.LANCZOS)
    if (factor := _TINY_SIDE // max(picture.size)) > 1:
        picture = picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)
    annotations = annotations_of_answer(answer)
    rows = [
        ShownClass(annotation.class_name, annotation.score, annotation.class_id == target.class_id)
        for annotation in annotations
    ]
    shown = rows[:_SHOWN_CLASSES]
    if not any(row.right for row in shown):
        missing = ShownClass(class_names[target.class_id], None, True)
        shown.append(next((row for row in rows if row.right), missing))
    return Pair(_webp(picture), None, (picture.height, picture.width), classes=tuple(shown))


def _object_pair(
    photo: DecodedImage, target: ObjectTarget, annotations: list[Annotation], class_names: Sequence[str]
) -> Pair:
    there = [_target_annotation(target, index, class_names) for index in range(len(target.class_ids))]
    verdicts = match(annotations, target)
    left = _drawn(photo, _colored(there, verdicts.targets))
    right = _drawn(photo, _colored(annotations, verdicts.predictions))
    return Pair(_webp(left), _webp(right), (left.height, left.width), object_notes(annotations, verdicts))


def _target_annotation(target: ObjectTarget, index: int, class_names: Sequence[str]) -> Annotation:
    class_id = int(target.class_ids[index])
    box = cast(Box, tuple(target.boxes[index].tolist()))
    mask = None if target.masks is None else target.masks[index]
    return Annotation(class_id, class_names[class_id], math.nan, box, mask=mask, pose=_target_pose(target, index))


def _target_pose(target: ObjectTarget, index: int) -> Pose | None:
    """The labelled key points of an object."""
    if target.key_points is None or target.skeleton is None:
        return None
    points, names = target.key_points[index], target.skeleton.names
    places = tuple((float(x), float(y)) for x, y in points[:, :2])
    seen = tuple(bool(visibility > 0) for visibility in points[:, 2])
    return Pose(places, seen, target.skeleton.edges, sides_of(names), names)


def _colored(annotations: Sequence[Annotation], verdicts: Sequence[Verdict]) -> list[Annotation]:
    """The annotations in the colours of their outcomes, errors on top."""
    pairs = [
        (replace(annotation, color_key=COLOR_KEYS[verdict]), verdict)
        for annotation, verdict in zip(annotations, verdicts, strict=True)
    ]
    return [annotation for annotation, _ in sorted(pairs, key=lambda pair: pair[1] is Verdict.RIGHT)]


def _region_pair(
    photo: DecodedImage, target: RegionTarget, annotations: list[Annotation], class_names: Sequence[str]
) -> Pair:
    class_map = target.class_map
    numbers: list[int] = [number for number in np.unique(class_map).tolist() if number not in (0, IGNORED)]
    there = [_region_annotation(class_map == number, number, class_names) for number in numbers]
    there.sort(key=lambda annotation: -annotation.score)
    ignored = class_map == IGNORED
    left = _drawn(_hatched(photo, ignored), there)
    right = _drawn(photo, annotations)
    notes = region_notes(class_map, _map_of(annotations, class_map.shape), class_names)
    return Pair(_webp(left), _webp(right), (left.height, left.width), notes)


def _region_annotation(pixels: NDArray[np.bool_], class_id: int, class_names: Sequence[str]) -> Annotation:
    return Annotation(class_id, class_names[class_id], float(pixels.mean()), mask=Mask.from_array(pixels))


def _map_of(annotations: Sequence[Annotation], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """The class map of annotations with masks; 0 elsewhere."""
    class_map = np.zeros(size, np.uint8)
    for annotation in annotations:
        if annotation.mask is not None:
            class_map[annotation.mask.to_array()] = annotation.class_id
    return class_map


def _hatched(photo: DecodedImage, ignored: NDArray[np.bool_]) -> DecodedImage:
    """Dims and hatches the pixels without annotation, in a copy."""
    if not ignored.any():
        return photo
    height, width = photo.pixels.shape[:2]
    rows = np.arange(height) * ignored.shape[0] // height
    columns = np.arange(width) * ignored.shape[1] // width
    step = max(4, round(_HATCH * max(height, width) / MAX_SIDE))
    lines = (np.arange(height)[:, None] + np.arange(width)) % step < max(1, step // 5)
    dimmed = photo.pixels // 2 + 64
    dimmed[lines] = 40
    pixels = np.where(ignored[rows[:, None], columns][..., None], dimmed, photo.pixels)
    return DecodedImage(np.ascontiguousarray(pixels), photo.size)


def _drawn(photo: DecodedImage, annotations: Sequence[Annotation]) -> Image.Image:
    return draw_on(photo, annotations, max_side=MAX_SIDE)


def _webp(image: Image.Image) -> bytes:
    """Encodes as WebP, a third of the bytes of a JPEG with equally sharp coloured lines; without the photo's
    metadata."""
    file = BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=4, use_sharp_yuv=True)
    return file.getvalue()
