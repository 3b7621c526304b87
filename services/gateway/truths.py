"""The truth about an image, as somebody tells it afterwards: checked, and in the class ids of the model."""

from __future__ import annotations

import binascii
import io
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

from models.masks import Mask
from services.errors import InvalidParameters
from services.gateway.inputs import validate
from services.gateway.parameters import LISTED_CLASSES, Name
from services.parameters import UnknownClasses, find_classes

M = TypeVar("M", bound=BaseModel)
Kind = Literal["classification", "detection", "instance", "semantic"]

IGNORED: Final = 255
"""Pixels of a class map that nobody knows; they count neither for a model nor against it."""

MAX_OBJECTS: Final = 1000
MAX_RUNS: Final = 2**21
"""Characters, or numbers, of the run lengths of one mask."""


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Edge = Annotated[float, Field(allow_inf_nan=False)]
ClassName = Annotated[StrictInt | Name, Field(alias="class", description="Name or id of a class of the model.")]


class ToldBox(_Told):
    """A box in pixels of the upright image, whose top left corner is (0, 0)."""

    x_min: Edge
    y_min: Edge
    x_max: Edge
    y_max: Edge

    @model_validator(mode="after")
    def _has_area(self) -> Self:
        if not (self.x_min < self.x_max and self.y_min < self.y_max):
            raise ValueError("the box has no area")
        return self


class ToldMask(_Told):
    """COCO's run lengths, compressed or not."""

    size: tuple[StrictInt, StrictInt]
    counts: Annotated[StrictStr, Field(max_length=MAX_RUNS)] | Annotated[list[StrictInt], Field(max_length=MAX_RUNS)]


class ToldObject(_Told):
    """One object that is there."""

    class_name: ClassName
    box: ToldBox | None = None
    mask: ToldMask | None = None
    crowd: StrictBool = False

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.box is None and self.mask is None:
            raise ValueError("an object has a box or a mask")
        return self


class ToldMaskOfClass(_Told):
    """Pixels of one class."""

    class_name: ClassName
    mask: ToldMask


class ClassTruth(_Told):
    """What is in the image."""

    class_name: ClassName


class ObjectsTruth(_Told):
    """All objects that are in the image; there may be none."""

    objects: Annotated[tuple[ToldObject, ...], Field(max_length=MAX_OBJECTS)]


class RegionsTruth(_Told):
    """Which pixels belong to what: a PNG file of class ids in base64, or a mask for each class."""

    class_map: StrictStr | None = None
    masks: Annotated[tuple[ToldMaskOfClass, ...], Field(max_length=MAX_OBJECTS)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.class_map is None) == (self.masks is None):
            raise ValueError('give either "class_map" or "masks"')
        return self


@dataclass(frozen=True, eq=False)
class TrueClass:
    """The class of an image.

    Attributes:
        class_ids: Ids of that name: mostly one, but some names stand for several classes.
    """

    class_ids: frozenset[int]


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """The objects of an image.

    Attributes:
        class_ids: Of each, as in `TrueClass`.
        crowds: Whether each is a region of many objects: what is found within counts neither for nor against.
        outlines: Boxes, (x_min, y_min, width, height) in pixels, or run lengths, as `pycocotools.mask.iou` takes them.
        masked: Which of the two.
    """

    class_ids: tuple[frozenset[int], ...]
    crowds: tuple[bool, ...]
    outlines: Sequence[Any]
    masked: bool


@dataclass(frozen=True, eq=False)
class TrueRegions:
    """The class of every pixel.

    Attributes:
        class_map: (H, W) uint8 class ids, 0 the background; `IGNORED` where nobody knows.
    """

    class_map: NDArray[np.uint8]


Truth = TrueClass | TrueObjects | TrueRegions


def read_truth(target: Mapping[str, Any], entry: Mapping[str, Any], size: tuple[int, int]) -> Truth:
    """Check what somebody tells.

    Args:
        target: As it was sent.
        entry: Catalog entry of the model, with its class names.
        size: (height, width) of the upright image in pixels.

    Raises:
        InvalidParameters: it does not suit the model or the image; the message names the member.
    """
    kind = kind_of(entry)
    if kind == "classification":
        return TrueClass(_class_ids(_checked(ClassTruth, target).class_name, entry, "class"))
    if kind == "semantic":
        return _regions(_checked(RegionsTruth, target), entry, size)
    return _objects(_checked(ObjectsTruth, target).objects, entry, size, kind)


def kind_of(entry: Mapping[str, Any]) -> Kind:
    """What the answers of a model are measured by."""
    return entry.get("segmentation") or entry["task"]


def _checked(schema: type[M], target: Mapping[str, Any]) -> M:
    return validate(schema, target, "target")


def _wrong(member: str, problem: str, **details: Any) -> InvalidParameters:
    return InvalidParameters(f"target.{member}: {problem}", {"parameter": f"target.{member}", **details})


def _class_ids(name: int | str, entry: Mapping[str, Any], member: str) -> frozenset[int]:
    class_names: Sequence[str] = entry["class_names"]
    background = kind_of(entry) == "semantic"
    try:
        found = find_classes([name], class_names, background)
    except UnknownClasses as error:
        known = list(error.known[:LISTED_CLASSES])
        raise _wrong(member, str(error), known=known, classes=len(error.known)) from None
    return frozenset(range(int(background), len(class_names)) if found is None else found)


def _objects(told: Sequence[ToldObject], entry: Mapping[str, Any], size: tuple[int, int], kind: Kind) -> TrueObjects:
    masked = bool(told) and all(one.mask is not None for one in told)
    outlines: list[Any] = []
    for index, one in enumerate(told):
        if one.mask is not None and kind == "detection":
            raise _wrong(f"objects.{index}.mask", "this model finds boxes")
        if one.mask is not None and masked:
            outlines.append(_mask(one.mask, size, f"objects.{index}.mask").to_coco())
        elif one.box is not None:
            outlines.append(
                [one.box.x_min, one.box.y_min, one.box.x_max - one.box.x_min, one.box.y_max - one.box.y_min]
            )
        else:
            raise _wrong(f"objects.{index}", "give all objects a mask, or all of them a box")
    class_ids = (_class_ids(one.class_name, entry, f"objects.{index}.class") for index, one in enumerate(told))
    return TrueObjects(tuple(class_ids), tuple(one.crowd for one in told), outlines, masked)


def _mask(told: ToldMask, size: tuple[int, int], member: str) -> Mask:
    try:
        return Mask.from_stranger(told.model_dump(), size)
    except ValueError as error:
        raise _wrong(member, str(error)) from None


def _regions(told: RegionsTruth, entry: Mapping[str, Any], size: tuple[int, int]) -> TrueRegions:
    if told.class_map is not None:
        return TrueRegions(_class_map(told.class_map, len(entry["class_names"]), size))
    class_map = np.zeros(size, np.uint8)
    for index, one in enumerate(told.masks or ()):
        class_id = min(_class_ids(one.class_name, entry, f"masks.{index}.class"))
        class_map[_mask(one.mask, size, f"masks.{index}.mask").to_array()] = class_id
    return TrueRegions(class_map)


def _class_map(text: str, classes: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    try:
        with Image.open(io.BytesIO(b64decode(text, validate=True)), formats=("PNG",)) as image:
            if image.size != (width, height):
                problem = f"must be of the image's size, {width} x {height} pixels, not {image.width} x {image.height}"
                raise _wrong("class_map", problem)
            if image.mode not in ("1", "L", "P"):
                raise _wrong("class_map", "must be a PNG file with one value of up to 8 bits a pixel: class ids")
            pixels = np.asarray(image).astype(np.uint8)
    except (binascii.Error, ValueError, OSError, SyntaxError):
        raise _wrong("class_map", "must be a PNG file in base64") from None
    strange = sorted(set(np.flatnonzero(np.bincount(pixels.reshape(-1), minlength=256))) - {*range(classes), IGNORED})
    if strange:
        raise _wrong("class_map", f"class {strange[0]} is not one of the model's {classes}, nor {IGNORED}: ignored")
    return pixels
