"""What a request may set, task by task, as pydantic checks it and as `/docs` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StringConstraints

from services.errors import InvalidParameters
from services.parameters import UnknownClasses, complete

LISTED_CLASSES = 100
"""An error lists no more classes of a model than this; `GET /v1/models/{name}` has all."""


class TaskParameters(BaseModel):
    """Parameters that every prediction endpoint takes: as query parameters, form fields or JSON members."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    NOT_FOR_THE_MODEL: ClassVar[frozenset[str]] = frozenset({"model", "render"})
    """What chooses the model, or how its answer is shown; answers are cached whatever stands there."""

    model: str | None = Field(default=None, description="Name of a served model; the first one of the task by default.")
    render: bool | None = Field(
        default=None,
        description="Whether to get the image back with the answer drawn on it; `Accept` decides by default.",
    )

    def check(self, image_count: int) -> None:
        """Check what cannot be told without the images.

        Raises:
            InvalidParameters: the parameters do not fit so many images.
        """

    def complete(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What the model is told: the request's wishes, and the model's own defaults for the rest.

        Args:
            entry: The model's catalog entry, with its class names.

        Raises:
            InvalidParameters: the model has no such class.
        """
        given = self.model_dump(exclude=set(self.NOT_FOR_THE_MODEL), exclude_none=True)
        try:
            return asdict(complete(entry["task"], given, entry["defaults"], entry["class_names"]))
        except UnknownClasses as error:
            details = {"unknown": error.unknown, "known": error.known[:LISTED_CLASSES], "classes": len(error.known)}
            raise InvalidParameters(str(error), details) from None


class ClassifyParameters(TaskParameters):
    """What is in an image: send it as the raw body, as multipart field `image`, or in base64 in JSON."""

    top_k: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="How many classes to answer with, best first; the model's own default, mostly 5.",
    )


def _split(value: Any) -> Any:
    """A list as a query writes it, with commas; a single value is a list, too."""
    if isinstance(value, str):
        return [part for part in (part.strip() for part in value.split(",")) if part]
    return [value] if isinstance(value, int) else value


def _split_ids(value: Any) -> Any:
    """The same for ids, where digits are a number."""
    parts = _split(value)
    return [_number_or_text(part) for part in parts] if isinstance(value, str) else parts


def _number_or_text(text: str) -> int | str:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
    return text if number is None or str(number) != text else number  # 007 is a name


Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
Classes = Annotated[tuple[StrictInt | Name, ...], BeforeValidator(_split), Field(min_length=1, max_length=1000)]
ImageIds = Annotated[tuple[StrictInt | Name, ...], BeforeValidator(_split_ids), Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class DetectParameters(TaskParameters):
    """Where which objects are in an image: send it as the raw body, as multipart field `image`, or in base64 in JSON.

    What is left out is as the model's own defaults say.
    """

    NOT_FOR_THE_MODEL = TaskParameters.NOT_FOR_THE_MODEL | {"format", "image_id"}

    score_threshold: Share | None = Field(default=None, description="Leave out objects with a lower score, 0 to 1.")
    iou_threshold: Share | None = Field(
        default=None, description="Of two objects that overlap by more than this, only the better one stays, 0 to 1."
    )
    max_detections: int | None = Field(default=None, ge=1, le=1000, description="The most objects of an image.")
    classes: Classes | None = Field(
        default=None,
        description="Only objects of these classes: names or ids; a list in JSON, with commas between them elsewhere.",
    )
    class_agnostic: bool | None = Field(
        default=None, description="Whether an object suppresses those of other classes, too; false by default."
    )
    format: Literal["json", "coco"] = Field(
        default="json", description="`coco`: a plain list, as COCO's evaluation reads results."
    )
    image_id: ImageIds | None = Field(
        default=None,
        description="With `coco`: the id of the image, or as many as there are images; their index from 0 by default.",
    )

    def check(self, image_count: int) -> None:
        """Check what cannot be told without the images.

        Raises:
            InvalidParameters: there are not as many ids as images, or nothing that would show them.
        """
        if self.image_id is None:
            return
        if self.format != "coco":
            raise InvalidParameters("image_id: it is shown with format=coco only", {"parameter": "image_id"})
        if len(self.image_id) != image_count:
            message = f"image_id: {len(self.image_id)} ids for {image_count} images"
            raise InvalidParameters(message, {"parameter": "image_id", "images": image_count})
