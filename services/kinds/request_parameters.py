"""Request parameters that endpoints share: pydantic models, also the schemas of `/docs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from models.entries import kind_in
from models.kinds import KINDS
from services.errors import InvalidParameters
from services.kinds.completion import UnknownClasses, complete

MAX_LISTED = 1000
"""The most values in a list parameter."""

OF_THE_WHOLE: Final = ("render", "format", "image_id")
"""Parameters about a whole response, which the tasks of an analysis do not have."""

LISTED_CLASSES = 100
"""The most class names that an error lists; `GET /v1/models/{name}` has all."""


def _check_render(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Validates `render` with one message for all of its types, where pydantic has one for each."""
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError("render", "Input should be true, false or 'cutout'") from None


Render = Annotated[bool | Literal["cutout"], WrapValidator(_check_render)]


def refuse_boolean(value: Any) -> Any:
    """Refuses JSON's `true` as a number, which Python would accept as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


Count = Annotated[int, BeforeValidator(refuse_boolean), Field(ge=1, le=1000)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(refuse_boolean)]


class RequestParameters(BaseModel):
    """Parameters of every endpoint of models: query parameters, form fields or JSON members."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    NOT_FOR_THE_MODEL: ClassVar[frozenset[str]] = frozenset({"model", "render", "format"})
    """Parameters that choose the model or the format of the response; they are not part of the cache key."""

    model: str | None = Field(
        default=None,
        description="Name of a served model, or one of its versions as `NAME@VERSION`; the first model of the task by "
        "default.",
    )

    def check(self, image_count: int) -> None:
        """Check the parameters against the number of images.

        Raises:
            InvalidParameters: the parameters do not fit so many images.
        """

    def for_drawing(self) -> Self:
        """The parameters of a prediction that is rendered as a picture: with the fields and formats that drawing
        reads."""
        return self

    def complete(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The complete parameters for the model: those of the request, and the model's defaults for the others.

        Args:
            entry: The model's catalog entry, with its class names.

        Raises:
            InvalidParameters: the model has no such class, or it is the background; or augmentation is requested of a
                kind of models that has none.
        """
        kind = kind_in(entry)
        try:
            given = self.given(entry)
            completed = asdict(complete(kind, given, entry["defaults"], entry["class_names"]))
        except UnknownClasses as error:
            details = {"unknown": error.unknown, "known": error.known[:LISTED_CLASSES], "classes": len(error.known)}
            raise InvalidParameters(str(error), details) from None
        if not completed.get("augment"):  # then keys of cached answers are as before, and older replicas take it
            completed.pop("augment", None)
        return completed

    def given(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of the request that are for the model, by the names of `models.parameters`.

        Args:
            entry: As for `complete`.

        Raises:
            InvalidParameters: augmentation is requested of a kind of models that has none.
            UnknownClasses: the model has no such class.
        """
        given = self.model_dump(exclude=set(self.NOT_FOR_THE_MODEL), exclude_none=True)
        kind = kind_in(entry)
        takes_signals = "length" in entry.get("preprocessing", {})
        if (takes_signals or not KINDS[kind].has_augmentation) and given.pop("augment", False):
            message = (
                f"augment: there is no test-time augmentation for {'signals' if takes_signals else kind}; leave it out"
            )
            raise InvalidParameters(message, {"parameter": "augment"})
        return given


class TaskParameters(RequestParameters):
    """Parameters of every endpoint whose answers are drawn on the image of the request."""

    render: Render | None = Field(
        default=None,
        description="Return the image with the predictions drawn on it; by default `Accept` decides. "
        "`cutout`, for a segmentation: the pixels of the masks on a transparent background, as PNG.",
    )


class PictureParameters(RequestParameters):
    """Parameters of every endpoint whose answer is an image."""

    format: Literal["png", "jpeg", "webp", "json"] | None = Field(
        default=None,
        description="Format of the answer; by default `Accept` decides, and PNG without it. `json`: PNG files in "
        "base64.",
    )


class PredictionParameters(TaskParameters):
    """Parameters of every prediction endpoint."""

    augment: bool | None = Field(
        default=None,
        description="Test-time augmentation: predict mirror images, crops or other sizes of the image, too, and merge "
        "the predictions; several times as slow; false by default.",
    )


def _split(value: Any) -> Any:
    """Splits a comma-separated list of a query; a single value becomes a list, too."""
    if isinstance(value, str):
        return [part for part in (part.strip() for part in value.split(",")) if part]
    if isinstance(value, list):
        return cast(list[Any], value)[: MAX_LISTED + 1]  # one too many is enough to be refused
    return [value] if isinstance(value, int) else value


def _split_ids(value: Any) -> Any:
    """The same for ids; digits become an integer."""
    parts = _split(value)
    return [_number_or_text(part) for part in parts] if isinstance(value, str) else parts


def _number_or_text(text: str) -> int | str:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
    return text if number is None or str(number) != text else number  # 007 is a name


def _check_name_or_id(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Validates a name or an id with one message for both types, where pydantic has one for each."""
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError("name_or_id", "Input should be a name, of 1 to 200 characters, or an id") from None


Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
NameOrId = Annotated[StrictInt | Name, WrapValidator(_check_name_or_id)]
Classes = Annotated[tuple[NameOrId, ...], BeforeValidator(_split), Field(min_length=1, max_length=MAX_LISTED)]
ImageIds = Annotated[tuple[NameOrId, ...], BeforeValidator(_split_ids), Field(min_length=1, max_length=MAX_LISTED)]


class CocoParameters(PredictionParameters):
    """Parameters of the tasks whose predictions have a COCO results format."""

    NOT_FOR_THE_MODEL = PredictionParameters.NOT_FOR_THE_MODEL | {"image_id"}

    format: Literal["json", "coco"] = Field(
        default="json", description="`coco`: a plain list, as COCO's evaluation reads results."
    )
    image_id: ImageIds | None = Field(
        default=None,
        description="With `coco`: the id of the image, or as many as there are images; their index from 0 by default.",
    )

    def check(self, image_count: int) -> None:
        """Check the parameters against the number of images.

        Raises:
            InvalidParameters: the numbers of image ids and images differ, or the format has no image ids.
        """
        if self.image_id is None:
            return
        if self.format != "coco":
            raise InvalidParameters("image_id: it is shown with format=coco only", {"parameter": "image_id"})
        if len(self.image_id) != image_count:
            message = f"image_id: {len(self.image_id)} ids for {image_count} images"
            raise InvalidParameters(message, {"parameter": "image_id", "images": image_count})
