"""Pydantic models that the responses of all kinds share, also the schemas of `/docs`."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

P = TypeVar("P")

PROBABILITY_DIGITS: Final = 6


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ErrorBody(Schema):
    """The body of every error."""

    code: str = Field(description="For programs; the list is in `docs/errors.md`.")
    message: str = Field(description="For people.")
    request_id: str | None = None
    details: dict[str, Any] = {}


class ErrorAnswer(Schema):
    error: ErrorBody


class ItemError(Schema):
    """In a list of results: the error of an image."""

    error: ErrorBody


class ImageSize(Schema):
    """Size of the image in pixels, after EXIF orientation."""

    height: int
    width: int


class Found(Schema, Generic[P]):
    """The predictions of a replica for one image: the cached part of a response."""

    image: ImageSize
    predictions: tuple[P, ...] = Field(description="Best first; classes with masks: most pixels first.")


class Cached(Schema):
    cached: bool


class Answered(Schema):
    model: str
    version: str
    request_id: str


class Listed(Schema):
    version: str | None = Field(
        default=None,
        description="Of the model that answered this image, where it is another than that of the whole answer: while "
        "a model is being replaced.",
    )


class CocoResult(Schema):
    image_id: int | str
    category_id: int = Field(description="As the data set numbers its categories, which is not from 0.")
    score: float = Field(ge=0, le=1)
