"""The shapes of requests and answers, as pydantic checks them and as `/docs` shows them."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class TaskParameters(_Schema):
    """Parameters that every prediction endpoint takes: as query parameters, form fields or JSON members."""

    model: str | None = Field(default=None, description="Name of a served model; the first one of the task by default.")


class ClassifyParameters(TaskParameters):
    """What is in an image: send it as the raw body, as multipart field `image`, or in base64 in JSON."""

    top_k: int = Field(default=5, ge=1, le=1000, description="How many classes to answer with, best first.")


class Base64Image(_Schema):
    """An encoded image file inside a JSON document."""

    base64: str = Field(description="The file's bytes in base64; a `data:` URL is understood too.")


class JsonBody(BaseModel):
    """What a JSON request holds besides the parameters: `image` for one answer, `images` for a list."""

    model_config = ConfigDict(extra="allow", frozen=True)

    image: Base64Image | None = None
    images: tuple[Base64Image, ...] | None = None


class ImageSize(_Schema):
    """Size of the image in pixels, after EXIF orientation."""

    height: int
    width: int


class ClassPrediction(_Schema):
    """One class of a classifier's answer."""

    class_id: int = Field(ge=0)
    class_name: str
    probability: float = Field(ge=0, le=1)


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


class Classification(_Schema):
    """The classes of one image."""

    image: ImageSize
    predictions: tuple[ClassPrediction, ...]
    cached: bool


class ClassifyAnswer(Classification):
    """Answer to one image."""

    model: str
    version: str
    request_id: str


class ClassifyListAnswer(_Schema):
    """Answer to several images: one result each, in their order."""

    model: str
    version: str
    results: tuple[Classification | ItemError, ...]
    request_id: str


class TaskApi(BaseModel):
    """What makes a prediction endpoint: everything else is the same for all tasks."""

    model_config = ConfigDict(frozen=True)

    task: str
    path: str
    summary: str
    parameters: type[TaskParameters]
    answer: type[BaseModel]
    list_answer: type[BaseModel]
    example: dict[str, Any]

    ALL: ClassVar[tuple[TaskApi, ...]]


TaskApi.ALL = (
    TaskApi(
        task="classification",
        path="/v1/classify",
        summary="The most probable classes of one or more images",
        parameters=ClassifyParameters,
        answer=ClassifyAnswer,
        list_answer=ClassifyListAnswer,
        example={
            "model": "efficientnet-lite0",
            "version": "1",
            "image": {"height": 300, "width": 451},
            "predictions": [{"class_id": 285, "class_name": "Egyptian cat", "probability": 0.69}],
            "cached": False,
            "request_id": "5f0c8a52a8d14d4c",
        },
    ),
)


class ModelList(BaseModel):
    """Catalog entries of the models that are served."""

    models: tuple[dict[str, Any], ...]


class Readiness(BaseModel):
    """Whether each configured model is loaded, warm and answering."""

    ready: bool
    models: dict[str, bool]


class Liveness(BaseModel):
    status: str = "alive"
