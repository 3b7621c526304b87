"""Pydantic models of request and response bodies, also the schemas of `/docs`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from services.kinds.schemas import Answered, Schema
from services.rollout.canary import Canary
from services.rollout.shadow import Shadow


def _text_or_bytes(value: Any) -> Any:
    if isinstance(value, str | memoryview):
        return cast(Any, value)
    raise PydanticCustomError("string_type", "Input should be a valid string")


Base64 = Annotated[Any, BeforeValidator(_text_or_bytes), WithJsonSchema({"title": "Base64", "type": "string"})]
"""A string; long ones are bytes, see `services.gateway.documents`."""


def _integer_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Version = Annotated[str, BeforeValidator(_integer_as_text), Field(min_length=1, max_length=200)]
"""A version of a model; an integer is read as text."""


class Base64Image(Schema):
    """An encoded image file inside a JSON document."""

    base64: Base64 = Field(description="The file's bytes in base64; a `data:` URL is understood too.")

    @model_validator(mode="before")
    @classmethod
    def _check_object(cls, given: Any) -> Any:
        if not isinstance(given, Mapping | Base64Image):
            form = '{"base64": "…"}'
            raise PydanticCustomError("image", "Input should be the file in base64, as {form}", {"form": form})
        return cast(Any, given)


class JsonBody(BaseModel):
    """The image members of a JSON request: `image` for a single result, `images` for a list; or a `signal`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    image: Base64Image | None = None
    images: Annotated[tuple[Base64Image, ...], Field(fail_fast=True)] | None = None
    signal: list[Any] | None = None


class FeedbackRequest(Schema):
    """The ground truth of an image of an earlier prediction."""

    request_id: str = Field(
        min_length=1, max_length=128, description="Of the request that was answered: its `X-Request-ID`."
    )
    index: int = Field(default=0, ge=0, strict=True, description="Of the image, in a request with several.")
    task: Literal["", "classify", "detect", "pose", "segment"] = Field(
        default="", description="Of an analysis: which of its answers; empty for other requests."
    )
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
    state: Literal["cold", "loading", "loaded", "failed", "unloading", "unloaded"] = Field(
        description="`cold`: its first request loads it."
    )
    reason: str | None = Field(description="Why it failed.")
    deployment: str | None = Field(description="Whose replicas have it; null where they shall not.")
    is_default: bool = Field(description="Whether it answers requests that name no version.")


class VersionRequest(Schema):
    """Which version of a model to load or unload."""

    version: Version | None = Field(default=None, description="The version; also as `NAME@VERSION` in the path.")


class CanaryRequest(Schema):
    """A version that answers a part of the requests that name none."""

    version: Version
    weight: float = Field(ge=0, le=100, allow_inf_nan=False, description="Percentage of the requests.")
    ttl_s: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Seconds after which it ends by itself; null: never."
    )

    def to_canary(self) -> Canary:
        """The canary from now on."""
        until_s = None if self.ttl_s is None else round(time.time() + self.ttl_s, 3)
        return Canary(version=self.version, weight=self.weight, until_s=until_s)


class ShadowRequest(Schema):
    """A version that also answers a sample of these requests, off the response path."""

    version: Version
    share: float = Field(ge=0, le=1, allow_inf_nan=False, description="Share of the requests.")

    def to_shadow(self) -> Shadow:
        """The shadow."""
        return Shadow(version=self.version, share=self.share)


class PlanRequest(Schema):
    """What to change in the serving plan of a model; what is left out stays."""

    policy: Version | None = Field(
        default=None, description="`newest`, or the loaded version that answers requests without one."
    )
    canary: CanaryRequest | None = Field(default=None, description="Null ends it.")
    shadow: ShadowRequest | None = Field(default=None, description="Null ends it.")

    @model_validator(mode="after")
    def _changes_something(self) -> PlanRequest:
        if not self.changes():
            raise ValueError("there is nothing to change: name policy, canary or shadow")
        return self

    def changes(self) -> dict[str, str | Canary | Shadow | None]:
        """The members of the serving plan that change."""
        members = {
            "policy": self.policy,
            "canary": self.canary and self.canary.to_canary(),
            "shadow": self.shadow and self.shadow.to_shadow(),
        }
        return {name: members[name] for name in self.model_fields_set if name != "policy" or self.policy is not None}


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
    canary: Canary | None
    shadow: Shadow | None


class TrafficCounts(Schema):
    """The requests that a version answered or failed, counted since its first one."""

    requests: int
    failed: int = Field(description="For a reason of the service: errors with status 500 or above.")
    latencies: dict[str, int] = Field(
        description="Requests that were answered without the cache, by bucket; bucket n ends at 0.1 ms * 1.02^n."
    )


class VersionTraffic(Schema):
    """What a version has answered."""

    version: str
    traffic: TrafficCounts
    live: LiveFigures | None = Field(description="Null where there is no feedback.")


class TrafficOverview(Schema):
    """What the versions of a model have answered."""

    model: str
    versions: tuple[VersionTraffic, ...]


class ListedDisagreement(Schema):
    """An image on which a shadow disagrees with the version that answered."""

    request_id: str
    index: int = Field(description="Of the image, in a request with several.")
    at_s: float = Field(description="Unix time.")
    primary: str = Field(description="Version that answered.")
    shadow: str = Field(description="Version that was compared with it.")
    figures: dict[str, float] = Field(description="Agreement by name, 0 to 1.")


class DisagreementList(Schema):
    """The latest disagreements of a model, the newest first."""

    model: str
    disagreements: tuple[ListedDisagreement, ...]


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
