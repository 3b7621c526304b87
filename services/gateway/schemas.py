"""Pydantic models of request and response bodies, also the schemas of `/docs`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from services.kinds.schemas import Answered, Schema


def _text_or_bytes(value: Any) -> Any:
    if isinstance(value, str | memoryview):
        return cast(Any, value)
    raise PydanticCustomError("string_type", "Input should be a valid string")


Base64 = Annotated[Any, BeforeValidator(_text_or_bytes), WithJsonSchema({"title": "Base64", "type": "string"})]
"""A string; long ones are bytes, see `services.gateway.documents`."""


def _integer_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Base64Image(Schema):
    """An encoded image file inside a JSON document."""

    base64: Base64 = Field(description="The file's bytes in base64; a `data:` URL is understood too.")


class JsonBody(BaseModel):
    """The image members of a JSON request: `image` for a single result, `images` for a list."""

    model_config = ConfigDict(extra="allow", frozen=True)

    image: Base64Image | None = None
    images: Annotated[tuple[Base64Image, ...], Field(fail_fast=True)] | None = None


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


class VersionStatus(Schema):
    """The state of one version of a model."""

    name: str
    version: str
    state: Literal["loading", "loaded", "failed", "unloading", "unloaded"]
    reason: str | None = Field(description="Why it failed.")
    deployment: str | None = Field(description="Whose replicas have it; null where they shall not.")
    is_default: bool = Field(description="Whether it answers requests that name no version.")


class VersionRequest(Schema):
    """Which version of a model to load or unload."""

    version: Annotated[str, BeforeValidator(_integer_as_text)] | None = Field(
        default=None, min_length=1, max_length=200, description="The version; also as `NAME@VERSION` in the path."
    )


class PlanRequest(Schema):
    """What to change in the serving plan of a model."""

    policy: Annotated[str, BeforeValidator(_integer_as_text)] = Field(
        min_length=1, max_length=200, description="`newest`, or the loaded version that answers requests without one."
    )


class PlannedVersionStatus(Schema):
    """A version that is to be loaded."""

    version: str
    deployment: str


class PlanStatus(Schema):
    """The serving plan of a model."""

    model: str
    policy: str
    revision: int = Field(description="Grows with every change.")
    versions: tuple[PlannedVersionStatus, ...]


class ModelList(BaseModel):
    """Catalog entries of the versions that are served, and the states of all versions."""

    models: tuple[dict[str, Any], ...]
    versions: tuple[VersionStatus, ...]


class Readiness(BaseModel):
    """Whether each configured model is loaded, warm and answering."""

    ready: bool
    models: dict[str, bool]


class Liveness(BaseModel):
    status: str = "alive"
