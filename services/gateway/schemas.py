"""Pydantic models of request and response bodies, also the schemas of `/docs`."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

P = TypeVar("P")
R = TypeVar("R")


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def _text_or_bytes(value: Any) -> Any:
    if isinstance(value, str | memoryview):
        return cast(Any, value)
    raise PydanticCustomError("string_type", "Input should be a valid string")


Base64 = Annotated[Any, BeforeValidator(_text_or_bytes), WithJsonSchema({"title": "Base64", "type": "string"})]
"""A string; long ones are bytes, see `services.gateway.documents`."""


class Base64Image(Schema):
    """An encoded image file inside a JSON document."""

    base64: Base64 = Field(description="The file's bytes in base64; a `data:` URL is understood too.")


class JsonBody(BaseModel):
    """The image members of a JSON request: `image` for a single result, `images` for a list."""

    model_config = ConfigDict(extra="allow", frozen=True)

    image: Base64Image | None = None
    images: Annotated[tuple[Base64Image, ...], Field(fail_fast=True)] | None = None


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


class ClassPrediction(Schema):
    """One predicted class."""

    class_id: int = Field(ge=0)
    class_name: str
    probability: float = Field(ge=0, le=1)


class FoundClasses(Found[ClassPrediction]):
    """The predicted classes of one image."""


class ClassifyAnswer(FoundClasses, Cached, Answered):
    """Response for one image."""


class Classification(FoundClasses, Cached, Listed):
    """The predicted classes of one image of several."""


class ClassifyListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[Classification | ItemError, ...]


class Box(Schema):
    """A rectangle in pixels of the upright image, whose top left corner is (0, 0)."""

    x_min: float = Field(ge=0)
    y_min: float = Field(ge=0)
    x_max: float = Field(ge=0)
    y_max: float = Field(ge=0)


class Detection(Schema):
    """One detected object."""

    box: Box
    class_id: int = Field(ge=0)
    class_name: str
    score: float = Field(ge=0, le=1)


class FoundObjects(Found[Detection]):
    """The detected objects of one image; may be empty."""


class DetectAnswer(FoundObjects, Cached, Answered):
    """Response for one image."""


class Detections(FoundObjects, Cached, Listed):
    """The detected objects of one image of several."""


class DetectListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[Detections | ItemError, ...]


class _CocoResult(Schema):
    image_id: int | str
    category_id: int = Field(description="As the data set numbers its categories, which is not from 0.")
    score: float = Field(ge=0, le=1)


class CocoDetection(_CocoResult):
    """One object, as a line of a COCO result file. Source: https://cocodataset.org/#format-results"""

    bbox: tuple[float, float, float, float] = Field(description="x, y, width, height in pixels.")


class RunLengths(Schema):
    """A mask as COCO's compressed run lengths: `pycocotools.mask.decode` reads it."""

    size: tuple[int, int] = Field(description="Height and width of the image in pixels.")
    counts: str


class CocoSegmentation(_CocoResult):
    """One object with its mask, as a line of a COCO result file. Source: https://cocodataset.org/#format-results"""

    segmentation: RunLengths


Mask = RunLengths | tuple[tuple[float, ...], ...] | str
"""By `mask_format`: run lengths; rings of x, y, x, y … in pixels; or a PNG file in base64, white where the mask is."""


class Instance(Detection):
    """One object with its mask, from an instance segmentation model."""

    area_pixels: int = Field(ge=0)
    mask: Mask


class Region(Schema):
    """One class of the image with its mask, from a semantic segmentation model."""

    class_id: int = Field(ge=1, description="0 is the background.")
    class_name: str
    area_pixels: int = Field(ge=1)
    fraction: float = Field(ge=0, le=1, description="Its share of the image's pixels.")
    probability: float | None = Field(
        default=None, ge=0, le=1, description="With `probabilities`: the mean over its pixels."
    )
    mask: RunLengths | tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="Left out with `mask_format=png`, where `class_map` has the pixels of all classes."
    )


class FoundMasks(Found[Instance | Region]):
    """The objects of one image, or its classes by descending area; may be empty."""

    class_map: str | None = Field(
        default=None,
        description="Of a semantic model with `mask_format=png`: a PNG file in base64 whose pixel values are class "
        "ids, 0 for the background and for classes that were not asked for.",
    )


class SegmentAnswer(FoundMasks, Cached, Answered):
    """Response for one image."""


class Segmentation(FoundMasks, Cached, Listed):
    """The objects or the classes of one image of several."""


class SegmentListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[Segmentation | ItemError, ...]


class FeedbackRequest(Schema):
    """The ground truth of an image of an earlier prediction."""

    request_id: str = Field(
        min_length=1, max_length=128, description="Of the request that was answered: its `X-Request-ID`."
    )
    index: int = Field(default=0, ge=0, strict=True, description="Of the image, in a request with several.")
    target: dict[str, Any] = Field(description="What is in the image; `docs/accuracy.md` tells its shapes.")


class LiveFigures(Schema):
    """Live accuracy, from the latest feedback."""

    samples: int = Field(ge=1)
    since: str = Field(description="Time of the oldest feedback that counts, ISO 8601.")
    figures: dict[str, float | None]


class FeedbackAnswer(Answered):
    """The result of comparing a prediction with its ground truth."""

    index: int
    figures: dict[str, float | None] = Field(description="Of this image; null where there is nothing to measure.")
    live: LiveFigures = Field(description="Of the model, with this feedback.")


class MeasuredFigure(Schema):
    """A figure with its 95 % confidence interval; null where it is unknown."""

    value: float | None
    low: float | None
    high: float | None


class MeasuredRun(Schema):
    """A finished evaluation of a model."""

    dataset: str
    dataset_digest: str
    kind: str
    through: str
    images: int
    finished_at: str
    age_s: float
    version: str
    weights_match: bool = Field(description="Whether these are the version and the weights that are served.")
    figures: dict[str, MeasuredFigure]
    protocol: dict[str, Any]


class DriftFigures(Schema):
    """Drift: the difference of the latest predictions from those of the latest evaluation."""

    images: int = Field(description="Answers, the latest.")
    dataset: str | None = Field(description="Of the evaluation; null where none counted its answers.")
    reference_images: int | None
    population_stability_index: dict[str, float] = Field(description="By `score` and `class`; none for few images.")
    expected_by_chance: dict[str, float] = Field(description="What the index is on average where nothing has changed.")


class ModelAccuracy(Schema):
    """Measured accuracy, live accuracy and drift of a served model."""

    name: str
    version: str
    task: str
    weights_digest: str
    offline: tuple[MeasuredRun, ...] = Field(description="Evaluations of these very weights, the newest first.")
    live: LiveFigures | None = Field(description="Null where there is no feedback.")
    drift: DriftFigures | None = Field(description="Null where nothing was answered.")


class AccuracyOverview(Schema):
    """Accuracy of all served models."""

    models: tuple[ModelAccuracy, ...]


class ModelList(BaseModel):
    """Catalog entries of the models that are served."""

    models: tuple[dict[str, Any], ...]


class Readiness(BaseModel):
    """Whether each configured model is loaded, warm and answering."""

    ready: bool
    models: dict[str, bool]


class Liveness(BaseModel):
    status: str = "alive"
