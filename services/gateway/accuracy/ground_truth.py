"""Ground truth from feedback: validated, and converted to the class ids of the model."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from models.entries import kind_in
from models.errors import ImageError
from models.geometry.boxes import with_sizes
from models.geometry.masks import Mask
from models.imaging import png
from models.imaging.pillow import opened
from models.kinds import KINDS
from services.errors import InvalidParameters
from services.gateway.accuracy.ground_truth_schemas import (
    ClassTruth,
    ObjectsTruth,
    RegionsTruth,
    ToldBox,
    ToldMask,
    ToldObject,
)
from services.gateway.inputs import validate
from services.gateway.serving.offload import NO_LIMIT, TimeLimit
from services.kinds.completion import UnknownClasses, find_classes
from services.kinds.request_parameters import LISTED_CLASSES

M = TypeVar("M", bound=BaseModel)

IGNORED: Final = 255
"""Class id of pixels without annotation, which are ignored."""

_BLOCK: Final = 2**20
"""Pixels that are processed at a time."""

_PNG_BIT_DEPTH: Final = 24
"""Offset of the bit depth in a PNG file (PNG specification, section 11.2.1)."""


@dataclass(frozen=True, eq=False)
class TrueClass:
    """The class of an image.

    Attributes:
        class_ids: Ids of the class name: usually one, but several classes may share a name.
    """

    class_ids: frozenset[int]


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """The objects of an image.

    Attributes:
        class_ids: Of each, as in `TrueClass`.
        crowds: (N,) bool, whether each is a region of many objects: what is found within counts neither for nor
            against.
        boxes: (N, 4) float64, x, y, width and height in pixels, cut to the image; with masks, the least around each.
        masks: Of each; None where only boxes are given.
    """

    class_ids: tuple[frozenset[int], ...]
    crowds: NDArray[np.bool_]
    boxes: NDArray[np.float64]
    masks: tuple[Mask, ...] | None


@dataclass(frozen=True, eq=False)
class TrueRegions:
    """The class of every pixel.

    Attributes:
        class_map: (H, W) uint8 class ids, 0 the background; `IGNORED` without annotation.
    """

    class_map: NDArray[np.uint8]


def read_class(target: Mapping[str, Any], entry: Mapping[str, Any], *_: object) -> TrueClass:
    """Checks the class of an image; see `services.gateway.accuracy.feedback_kinds.FeedbackKind.read`."""
    return TrueClass(class_ids_of(checked_target(ClassTruth, target).class_name, entry, "class"))


def read_boxes(
    target: Mapping[str, Any], entry: Mapping[str, Any], size: tuple[int, int], limit: TimeLimit = NO_LIMIT
) -> TrueObjects:
    """As `read_objects`, without masks."""
    return _objects(checked_target(ObjectsTruth, target), entry, size, limit, has_masks=False)


def read_objects(
    target: Mapping[str, Any], entry: Mapping[str, Any], size: tuple[int, int], limit: TimeLimit = NO_LIMIT
) -> TrueObjects:
    """Checks the objects of an image; see `services.gateway.accuracy.feedback_kinds.FeedbackKind.read`."""
    return _objects(checked_target(ObjectsTruth, target), entry, size, limit, has_masks=True)


def read_regions(
    target: Mapping[str, Any], entry: Mapping[str, Any], size: tuple[int, int], limit: TimeLimit = NO_LIMIT
) -> TrueRegions:
    """Checks the class of every pixel; see `services.gateway.accuracy.feedback_kinds.FeedbackKind.read`."""
    return _regions(checked_target(RegionsTruth, target), entry, size, limit)


def _objects(
    told: ObjectsTruth, entry: Mapping[str, Any], size: tuple[int, int], limit: TimeLimit, *, has_masks: bool
) -> TrueObjects:
    objects = told.objects
    class_ids = (class_ids_of(one.class_name, entry, f"objects.{index}.class") for index, one in enumerate(objects))
    crowds = np.array([one.crowd for one in objects], bool)
    return TrueObjects(tuple(class_ids), crowds, *_places(objects, size, has_masks, limit))


def checked_target(schema: type[M], target: Mapping[str, Any]) -> M:
    """Checks a target against its schema."""
    return validate(schema, target, "target")


def wrong_target(member: str, problem: str, **details: Any) -> InvalidParameters:
    """The error of a member of the target."""
    return InvalidParameters(f"target.{member}: {problem}", {"parameter": f"target.{member}", **details})


def class_ids_of(name: int | str, entry: Mapping[str, Any], member: str) -> frozenset[int]:
    """Ids of the classes of a name, or of an id."""
    class_names: Sequence[str] = entry["class_names"]
    background = KINDS[kind_in(entry)].has_background
    try:
        found = find_classes([name], class_names, background)
    except UnknownClasses as error:
        known = list(error.known[:LISTED_CLASSES])
        raise wrong_target(member, str(error), known=known, classes=len(error.known)) from None
    return frozenset(range(int(background), len(class_names)) if found is None else found)


def _places(
    told: Sequence[ToldObject], size: tuple[int, int], has_masks: bool, limit: TimeLimit
) -> tuple[NDArray[np.float64], tuple[Mask, ...] | None]:
    """The members `boxes` and `masks` of `TrueObjects`."""
    masks = [one.mask for one in told]
    for index, mask in enumerate(masks):
        if mask is not None and not has_masks:
            raise wrong_target(f"objects.{index}.mask", "this model finds boxes")
    if not told or any(mask is None for mask in masks):
        edges = [clipped_box(one.box, size, f"objects.{index}") for index, one in enumerate(told)]
        return with_sizes(edges), None
    read: list[Mask] = []
    for index, mask in enumerate(masks):
        limit.check()
        assert mask is not None
        read.append(_mask(mask, size, f"objects.{index}.mask"))
    return with_sizes([mask.bounds for mask in read]), tuple(read)


def clipped_box(box: ToldBox | None, size: tuple[int, int], member: str) -> tuple[float, float, float, float]:
    """Clips a box to the image."""
    if box is None:
        raise wrong_target(member, "give all objects a mask, or all of them a box")
    height, width = size
    if box.x_min >= width or box.y_min >= height or box.x_max <= 0 or box.y_max <= 0:
        raise wrong_target(f"{member}.box", f"lies outside the image, which has {width} x {height} pixels")
    return max(box.x_min, 0.0), max(box.y_min, 0.0), min(box.x_max, width), min(box.y_max, height)


def _mask(told: ToldMask, size: tuple[int, int], member: str) -> Mask:
    try:
        return Mask.from_stranger(told.model_dump(), size)
    except ValueError as error:
        raise wrong_target(member, str(error)) from None


def _regions(told: RegionsTruth, entry: Mapping[str, Any], size: tuple[int, int], limit: TimeLimit) -> TrueRegions:
    if told.class_map is not None:
        return TrueRegions(_class_map(told.class_map, len(entry["class_names"]), size))
    class_map = np.zeros(size, np.uint8)
    for index, one in enumerate(told.masks or ()):
        limit.check()
        class_id = min(class_ids_of(one.class_name, entry, f"masks.{index}.class"))
        region, (top, left) = _mask(one.mask, size, f"masks.{index}.mask").to_region()
        class_map[top : top + region.shape[0], left : left + region.shape[1]][region] = class_id
    return TrueRegions(class_map)


def _class_map(text: str, classes: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        file = b64decode(text, validate=True)
        with opened(png.without_metadata(file), "png") as image:
            found, mode = (image.height, image.width), image.mode
            usable = found == size and mode in ("1", "L", "P")
            pixels = np.asarray(image).astype(np.uint8) if usable else np.zeros(0, np.uint8)
    except (ValueError, ImageError):
        raise wrong_target("class_map", "must be a PNG file in base64, of the image's size") from None
    if found != size:
        problem = f"must be of the image's size, {size[1]} x {size[0]} pixels, not {found[1]} x {found[0]}"
        raise wrong_target("class_map", problem)
    if not usable:
        raise wrong_target("class_map", "must be a PNG file with one value of up to 8 bits a pixel: class ids")
    if mode == "L" and file[_PNG_BIT_DEPTH] in (2, 4):  # Pillow spreads such shades of grey over 0 to 255
        pixels //= 255 // (2 ** file[_PNG_BIT_DEPTH] - 1)
    if strange := _values(pixels) - {*range(classes), IGNORED}:
        raise wrong_target(
            "class_map", f"class {min(strange)} is not one of the model's {classes}, nor {IGNORED}: ignored"
        )
    return pixels


def _values(pixels: NDArray[np.uint8]) -> set[int]:
    """The distinct values."""
    flat, seen = pixels.reshape(-1), np.zeros(256, np.int64)
    for first in range(0, flat.size, _BLOCK):
        seen += np.bincount(flat[first : first + _BLOCK], minlength=256)
    return set(np.flatnonzero(seen).tolist())
