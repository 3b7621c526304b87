"""The shapes of requests and answers, as pydantic checks them and as `/docs` shows them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

P = TypeVar("P")
R = TypeVar("R")


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Base64Image(_Schema):
    """An encoded image file inside a JSON document."""

    base64: str = Field(description="The file's bytes in base64; a `data:` URL is understood too.")


class JsonBody(BaseModel):
    """What a JSON request holds besides the parameters: `image` for one answer, `images` for a list."""

    model_config = ConfigDict(extra="allow", frozen=True)

    image: Base64Image | None = None
    images: tuple[Base64Image, ...] | None = None


class ErrorBody(_Schema):
    """An error, in the one shape that all have."""

    code: str = Field(description="For programs; the list is in `docs/errors.md`.")
    message: str = Field(description="For people.")
    request_id: str | None = None
    details: dict[str, Any] = {}


class ErrorAnswer(_Schema):
    error: ErrorBody


class ItemError(_Schema):
    """In a list of results: why this image has none."""

    error: ErrorBody


class ImageSize(_Schema):
    """Size of the image in pixels, after EXIF orientation."""

    height: int
    width: int


class _Result(_Schema, Generic[P]):
    image: ImageSize
    predictions: tuple[P, ...] = Field(description="Best first.")
    cached: bool


class _Answered(_Schema):
    model: str
    version: str
    request_id: str


class ClassPrediction(_Schema):
    """One class of a classifier's answer."""

    class_id: int = Field(ge=0)
    class_name: str
    probability: float = Field(ge=0, le=1)


class Classification(_Result[ClassPrediction]):
    """The classes of one image."""


class ClassifyAnswer(Classification, _Answered):
    """Answer to one image."""


class ClassifyListAnswer(_Answered):
    """Answer to several images: one result each, in their order."""

    results: tuple[Classification | ItemError, ...]


class Box(_Schema):
    """A rectangle in pixels of the upright image, whose top left corner is (0, 0)."""

    x_min: float = Field(ge=0)
    y_min: float = Field(ge=0)
    x_max: float = Field(ge=0)
    y_max: float = Field(ge=0)


class Detection(_Schema):
    """One object."""

    box: Box
    class_id: int = Field(ge=0)
    class_name: str
    score: float = Field(ge=0, le=1)


class Detections(_Result[Detection]):
    """The objects of one image; there may be none."""


class DetectAnswer(Detections, _Answered):
    """Answer to one image."""


class DetectListAnswer(_Answered):
    """Answer to several images: one result each, in their order."""

    results: tuple[Detections | ItemError, ...]


class CocoDetection(_Schema):
    """One object, as a line of a COCO result file. Source: https://cocodataset.org/#format-results"""

    image_id: int | str
    category_id: int = Field(description="As the data set numbers its categories, which is not from 0.")
    bbox: tuple[float, float, float, float] = Field(description="x, y, width, height in pixels.")
    score: float = Field(ge=0, le=1)


class ModelList(BaseModel):
    """Catalog entries of the models that are served."""

    models: tuple[dict[str, Any], ...]


class Readiness(BaseModel):
    """Whether each configured model is loaded, warm and answering."""

    ready: bool
    models: dict[str, bool]


class Liveness(BaseModel):
    status: str = "alive"
