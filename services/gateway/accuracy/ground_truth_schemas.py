"""Pydantic models of ground truth in feedback, one for each kind of model."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

from services.kinds.request_parameters import Name

MAX_OBJECTS: Final = 1000
MAX_RUNS: Final = 2**20
"""Characters, or numbers, of the run lengths of one mask."""

MAX_MAP: Final = 2**24
"""Characters of a class map."""


class ToldBase(BaseModel):
    """Base of the schemas of ground truth; unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Edge = Annotated[float, Field(strict=True, allow_inf_nan=False)]
ClassName = Annotated[StrictInt | Name, Field(alias="class", description="Name or id of a class of the model.")]


class ToldBox(ToldBase):
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


class ToldMask(ToldBase):
    """COCO's run lengths, compressed or not."""

    size: tuple[StrictInt, StrictInt]
    counts: (
        Annotated[StrictStr, Field(max_length=MAX_RUNS)]
        | Annotated[list[StrictInt], Field(max_length=MAX_RUNS, fail_fast=True)]
    )


class ToldObject(ToldBase):
    """One ground-truth object."""

    class_name: ClassName
    box: ToldBox | None = None
    mask: ToldMask | None = None
    crowd: StrictBool = False

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.box is None and self.mask is None:
            raise ValueError("an object has a box or a mask")
        return self


class ToldMaskOfClass(ToldBase):
    """Pixels of one class."""

    class_name: ClassName
    mask: ToldMask


class ClassTruth(ToldBase):
    """The class of the image."""

    class_name: ClassName


class ObjectsTruth(ToldBase):
    """All objects of the image; may be empty."""

    objects: Annotated[tuple[ToldObject, ...], Field(max_length=MAX_OBJECTS, fail_fast=True)]


class RegionsTruth(ToldBase):
    """The class of every pixel: a PNG file of class ids in base64, or a mask for each class."""

    class_map: Annotated[StrictStr, Field(max_length=MAX_MAP)] | None = None
    masks: Annotated[tuple[ToldMaskOfClass, ...], Field(max_length=MAX_OBJECTS, fail_fast=True)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.class_map is None) == (self.masks is None):
            raise ValueError('give either "class_map" or "masks"')
        return self
